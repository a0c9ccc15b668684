package plane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// listeners are several listeners on one port as one.
type listeners struct {
	accepted chan accepted
	closed   chan struct{}
	end      func()

	mu struct {
		sync.Mutex
		all []net.Listener // the first gives the address and the port
	}
}

type accepted struct {
	conn net.Conn
	err  error
}

func newListeners(first net.Listener) *listeners {
	l := &listeners{accepted: make(chan accepted), closed: make(chan struct{})}
	l.end = sync.OnceFunc(func() { close(l.closed) })
	l.add(first)
	return l
}

// also listens on the same port of a further address, which the host need not have yet.
func (l *listeners) also(ip net.IP) error {
	free := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1) })
		return errors.Join(err, failed)
	}}
	port := l.Addr().(*net.TCPAddr).Port
	further, err := free.Listen(context.Background(), "tcp", net.JoinHostPort(ip.String(), fmt.Sprint(port)))
	if err != nil {
		return err
	}
	l.add(further)
	return nil
}

func (l *listeners) add(from net.Listener) {
	l.mu.Lock()
	l.mu.all = append(l.mu.all, from)
	l.mu.Unlock()
	go l.pass(from) // ends when it is closed, as Close does
}

// pass hands a listener's connections to Accept.
func (l *listeners) pass(from net.Listener) {
	for {
		c, err := from.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		select {
		case l.accepted <- accepted{c, err}:
		case <-l.closed:
			if c != nil {
				c.Close()
			}
			return
		}
	}
}

// Accept implements net.Listener.
func (l *listeners) Accept() (net.Conn, error) {
	select {
	case a := <-l.accepted:
		return a.conn, a.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// addrs are the addresses of all.
func (l *listeners) addrs() []netip.AddrPort {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []netip.AddrPort
	for _, one := range l.mu.all {
		out = append(out, one.Addr().(*net.TCPAddr).AddrPort())
	}
	return out
}

// Addr implements net.Listener.
func (l *listeners) Addr() net.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.all[0].Addr()
}

// Close implements net.Listener.
func (l *listeners) Close() error {
	l.end()
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, one := range l.mu.all {
		if err := one.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
