package userspace

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// dialTimeouts are how long the endpoints of a connection are waited for, one after the other; each is tried once.
var dialTimeouts = []time.Duration{time.Second, 2 * time.Second, 2 * time.Second, 5 * time.Second}

// tcpFront hands the connections of one listener on. Connections outlive the listener: they end with life.
type tcpFront struct {
	l    *net.TCPListener
	bal  *balancer
	near func(from, to netip.Addr) bool
	life context.Context
	wg   *sync.WaitGroup
	log  *slog.Logger
}

// serve accepts until the listener is closed. A failure that passes (no file descriptor is left) is waited out.
func (f *tcpFront) serve() {
	for {
		c, err := f.l.AcceptTCP()
		if err == nil {
			f.wg.Go(func() { f.handle(c) })
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		f.log.Error("cannot accept a connection to a service", "address", f.l.Addr(), "err", err)
		select {
		case <-f.life.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// retarget does nothing: established connections stay where they are.
func (f *tcpFront) retarget() {}

func (f *tcpFront) close() { _ = f.l.Close() }

// handle serves one connection. Without an endpoint that answers, the client sees a reset, the nearest thing to the refusal
// that the kernel would have sent.
func (f *tcpFront) handle(in *net.TCPConn) {
	stop := context.AfterFunc(f.life, func() { abort(in) })
	defer stop()
	out := f.dial(in)
	if out == nil {
		abort(in)
		return
	}
	stopOut := context.AfterFunc(f.life, func() { abort(out) })
	defer stopOut()
	join(in, out)
}

// dial connects to an endpoint of the client's, or to another where that does not answer.
func (f *tcpFront) dial(in *net.TCPConn) *net.TCPConn {
	from, to := addrOf(in.RemoteAddr()), addrOf(in.LocalAddr())
	c := client{from, func() bool { return f.near(from, to) }}
	var tried []netip.AddrPort
	for _, timeout := range dialTimeouts {
		backend, ok := f.bal.pick(c, tried, time.Now())
		if !ok {
			break
		}
		d := net.Dialer{Timeout: timeout}
		out, err := d.DialContext(f.life, "tcp", backend.String())
		if err == nil {
			return out.(*net.TCPConn)
		}
		f.log.Debug("an endpoint does not answer", "endpoint", backend, "err", err)
		tried = append(tried, backend)
	}
	return nil
}

// join copies both ways until both are done. The end of one direction is handed on as such, so that a client that has said
// all still gets its answer; a failure ends both.
func join(a, b *net.TCPConn) {
	var wg sync.WaitGroup
	half := func(dst, src *net.TCPConn) {
		if _, err := io.Copy(dst, src); err != nil {
			abort(a)
			abort(b)
			return
		}
		_ = dst.CloseWrite()
	}
	wg.Go(func() { half(a, b) })
	half(b, a)
	wg.Wait()
	_ = a.Close()
	_ = b.Close()
}

// abort closes a connection with a reset.
func abort(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
