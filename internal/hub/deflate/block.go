package deflate

import (
	"bytes"
	"compress/flate"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"
)

// Block is a piece of data, compressed on its own. It is frozen.
type Block struct {
	Data []byte // DEFLATE blocks that refer to nothing before them and end at a byte boundary
	Size int    // bytes of the piece itself
	crc  uint32
	move uint32 // what appending the piece does to the checksum before it, see advance
}

// Press makes blocks. Get one with NewPress; it serves for one block.
type Press struct {
	out  bytes.Buffer
	w    *flate.Writer
	size int
	crc  uint32
}

var presses = sync.Pool{New: func() any {
	p := &Press{}
	var err error
	if p.w, err = flate.NewWriter(&p.out, flate.BestSpeed); err != nil {
		panic(err) // a constant level
	}
	return p
}}

// NewPress returns an empty press.
func NewPress() *Press {
	p := presses.Get().(*Press)
	p.out.Reset()
	p.w.Reset(&p.out)
	p.size, p.crc = 0, 0
	return p
}

// Add appends to the piece.
func (p *Press) Add(data []byte) {
	p.w.Write(data) //nolint:errcheck // the buffer takes everything
	p.crc = crc32.Update(p.crc, crc32.IEEETable, data)
	p.size += len(data)
}

// Block returns the piece compressed. The press is not to be used after it.
func (p *Press) Block() *Block {
	made.Add(1)
	p.w.Flush() //nolint:errcheck // as in Add
	b := &Block{Data: bytes.Clone(p.out.Bytes()), Size: p.size, crc: p.crc, move: power(p.size)}
	presses.Put(p)
	return b
}

var made atomic.Int64

// Made is how many blocks this process has made, for tests of what is shared.
func Made() int64 { return made.Load() }

// Compress makes the block of the piece that parts are together.
func Compress(parts ...[]byte) *Block {
	p := NewPress()
	for _, data := range parts {
		p.Add(data)
	}
	return p.Block()
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
