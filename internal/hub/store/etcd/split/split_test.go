package split

import (
	"context"
	"io"
	"net"
	"testing"
)

// Each connection comes to its server whole, whatever else is under way.
func TestConnectionsAreSorted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(l)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	silent, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for text, to := range map[string]net.Listener{"PRI * HTTP/2.0": s.HTTP2, "GET / HTTP/1.1": s.HTTP1, "PRX": s.HTTP1} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, text)
		got, err := to.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if all, err := io.ReadAll(got); string(all) != text || err != nil {
			t.Errorf("%q %v, want %q", all, err, text)
		}
	}
	cancel()
	<-ended
	if _, err := s.HTTP1.Accept(); err == nil {
		t.Error("it still accepts")
	}
}
