package deflate

import (
	"bytes"
	"compress/flate"
	"hash/crc32"
	"io"
	"sync"
)

// Block is a piece of data, compressed on its own. It is frozen.
type Block struct {
	Data []byte // DEFLATE blocks that refer to nothing before them and end at a byte boundary
	Size int    // bytes of the piece itself
	crc  uint32
	move uint32 // what appending the piece does to the checksum before it, see advance
}

// compressor is a flate writer with its output.
type compressor struct {
	out bytes.Buffer
	w   *flate.Writer
}

var compressors = sync.Pool{New: func() any {
	c := &compressor{}
	var err error
	if c.w, err = flate.NewWriter(&c.out, flate.BestSpeed); err != nil {
		panic(err) // a constant level
	}
	return c
}}

// Compress makes the block of the piece that parts are together.
func Compress(parts ...[]byte) *Block {
	c := compressors.Get().(*compressor)
	defer compressors.Put(c)
	c.out.Reset()
	c.w.Reset(&c.out)
	b := &Block{}
	for _, p := range parts {
		c.w.Write(p) //nolint:errcheck // the buffer takes everything
		b.crc = crc32.Update(b.crc, crc32.IEEETable, p)
		b.Size += len(p)
	}
	c.w.Flush() //nolint:errcheck // as above
	b.Data = bytes.Clone(c.out.Bytes())
	b.move = power(b.Size)
	return b
}

// Stream writes one gzip stream. The zero value with W set is ready; End must come last.
type Stream struct {
	W     io.Writer
	begun bool
	crc   uint32
	size  uint32
	err   error
	head  [10]byte
}

const maxStored = 65535 // bytes of a stored block

func (s *Stream) write(p []byte) {
	if s.err == nil {
		_, s.err = s.W.Write(p)
	}
}

func (s *Stream) begin() {
	if !s.begun {
		s.begun = true
		s.head = [10]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255} // fastest, no name, no time
		s.write(s.head[:])
	}
}

// Raw appends p as it is, for small pieces that are not worth compressing.
func (s *Stream) Raw(p []byte) error {
	s.begin()
	s.crc = crc32.Update(s.crc, crc32.IEEETable, p)
	s.size += uint32(len(p))
	for len(p) > 0 {
		n := min(len(p), maxStored)
		s.stored(p[:n], 0)
		p = p[n:]
	}
	return s.err
}

func (s *Stream) stored(p []byte, final byte) {
	n := len(p)
	h := append(s.head[:0], final, byte(n), byte(n>>8), byte(^n), byte(^n>>8))
	s.write(h)
	s.write(p)
}

// Block appends a piece that was compressed before.
func (s *Stream) Block(b *Block) error {
	s.begin()
	s.crc = times(b.move, s.crc) ^ b.crc
	s.size += uint32(b.Size)
	s.write(b.Data)
	return s.err
}

// End finishes the stream.
func (s *Stream) End() error {
	s.begin()
	s.stored(nil, 1)
	c, n := s.crc, s.size
	s.write(append(s.head[:0], byte(c), byte(c>>8), byte(c>>16), byte(c>>24), byte(n), byte(n>>8), byte(n>>16), byte(n>>24)))
	return s.err
}
