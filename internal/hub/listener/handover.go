package listener

import (
	"net"
	"sync"
)

// handover is a listener whose connections are given to it.
type handover struct {
	from   net.Listener
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (o *handover) give(c net.Conn) {
	select {
	case o.conns <- c:
	case <-o.closed:
		c.Close()
	}
}

// Accept implements net.Listener.
func (o *handover) Accept() (net.Conn, error) {
	select {
	case c := <-o.conns:
		return c, nil
	case <-o.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (o *handover) Close() error {
	o.once.Do(func() { close(o.closed) })
	return nil
}

// Addr implements net.Listener.
func (o *handover) Addr() net.Addr { return o.from.Addr() }
