package wire

import (
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// packer compresses a stream that must arrive as it is flushed: each flush is a gzip member of its own, which may follow each
// other, so that a stream at rest holds no compressor. What is compressed is the beginning, where all objects come, and what
// is more than a few events; one event is put into a member as it is, since it may go to thousands of streams.
type packer struct {
	to    io.Writer
	z     *gzip.Writer // of the member that has begun
	begun bool         // something has been sent before
	all   bool         // what is written next is all there is before the flush
}

// Write implements io.Writer.
func (p *packer) Write(b []byte) (int, error) {
	if p.z == nil && p.all && p.begun {
		return len(b), p.store(b)
	}
	if p.z == nil {
		p.z = gzips.Get().(*gzip.Writer)
		p.z.Reset(p.to)
	}
	return p.z.Write(b)
}

// end ends the member that has begun. What came before the end of a member is flushed first: readers look for the next
// member before they hand out what they read together with the end.
func (p *packer) end() error {
	p.begun, p.all = true, false
	if p.z == nil {
		return nil
	}
	err := p.z.Flush()
	if e := p.z.Close(); err == nil {
		err = e
	}
	p.z.Reset(io.Discard)
	gzips.Put(p.z)
	p.z = nil
	return err
}

// What is around data that is stored (RFC 1952, RFC 1951 3.2.4): a header that says nothing, the block that data is in, an
// empty one, which has readers hand out what they have, and the last one, empty too.
const (
	storedHead = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
	storedTail = "\x00\x00\x00\xff\xff" + "\x01\x00\x00\xff\xff"
)

// store sends b, which is shorter than 64 KiB, as a member without compressing it.
func (p *packer) store(b []byte) error {
	head := append(make([]byte, 0, len(storedHead)+5), storedHead...)
	head = append(head, 0)
	head = binary.LittleEndian.AppendUint16(head, uint16(len(b)))
	head = binary.LittleEndian.AppendUint16(head, ^uint16(len(b)))
	tail := append(make([]byte, 0, len(storedTail)+8), storedTail...)
	tail = binary.LittleEndian.AppendUint32(tail, crc32.ChecksumIEEE(b))
	tail = binary.LittleEndian.AppendUint32(tail, uint32(len(b)))
	for _, part := range [][]byte{head, b, tail} {
		if _, err := p.to.Write(part); err != nil {
			return err
		}
	}
	return nil
}
