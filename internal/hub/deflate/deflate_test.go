package deflate

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

func unzip(t *testing.T, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z) // verifies checksum and size
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStreamsOfParts(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(dice.Uint32())
	}
	pieces := [][]byte{nil, []byte("x"), []byte(strings.Repeat("pod ", 1000)), noise, noise[:65535], noise[:65536]}
	for n := range 200 {
		var out, want bytes.Buffer
		s := Stream{W: &out}
		for range n % 17 {
			p := pieces[dice.IntN(len(pieces))]
			if len(p) > 0 {
				p = p[:1+dice.IntN(len(p))]
			}
			want.Write(p)
			if dice.IntN(2) == 0 {
				s.Raw(p)
			} else {
				cut := dice.IntN(len(p) + 1)
				b := Compress(p[:cut], p[cut:])
				if b.Size != len(p) {
					t.Fatalf("size %d of %d", b.Size, len(p))
				}
				s.Block(b)
			}
		}
		if err := s.End(); err != nil {
			t.Fatal(err)
		}
		if got := unzip(t, out.Bytes()); !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("stream %d: %d bytes, want %d", n, len(got), want.Len())
		}
	}
}

func TestABlockMayStandAnywhere(t *testing.T) {
	b := Compress([]byte(strings.Repeat("the same ", 100)))
	var out bytes.Buffer
	s := Stream{W: &out}
	for range 5 {
		s.Block(b)
	}
	s.End()
	if got := unzip(t, out.Bytes()); string(got) != strings.Repeat("the same ", 500) {
		t.Errorf("%q", got)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, fmt.Errorf("full") }

func TestErrorsAreKept(t *testing.T) {
	s := Stream{W: full{}}
	if s.Raw([]byte("x")) == nil || s.Block(Compress([]byte("x"))) == nil || s.End() == nil {
		t.Error("a failed write went unnoticed")
	}
}

func BenchmarkBlock(b *testing.B) {
	block := Compress([]byte(strings.Repeat("0123456789", 500)))
	s := Stream{W: io.Discard}
	b.ReportAllocs()
	for b.Loop() {
		s.Block(block)
	}
}

func BenchmarkCompress(b *testing.B) {
	p := []byte(strings.Repeat("a pod of a template, ", 250))
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		Compress(p)
	}
}
