package h2

import (
	"net"
	"sync"
	"sync/atomic"
)

// cork is the connection below TLS. While it is held it gathers the records that TLS writes, and sends them in one go.
type cork struct {
	net.Conn
	sent *atomic.Uint64 // counts writes that the kernel has taken; set before the first
	mu   struct {
		sync.Mutex
		held bool
		buf  []byte
	}
}

// Write implements net.Conn.
func (k *cork) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.mu.held {
		return k.Conn.Write(p)
	}
	if k.mu.buf == nil {
		k.mu.buf = getBuffer()
	}
	k.mu.buf = append(k.mu.buf, p...)
	if len(k.mu.buf) >= sendAt {
		if err := k.sendLocked(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (k *cork) sendLocked() error {
	_, err := k.Conn.Write(k.mu.buf)
	k.mu.buf = k.mu.buf[:0]
	if k.sent != nil {
		k.sent.Add(1)
	}
	return err
}

func (k *cork) hold() {
	k.mu.Lock()
	k.mu.held = true
	k.mu.Unlock()
}

// release sends what was gathered.
func (k *cork) release() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.held = false
	if k.mu.buf == nil {
		return nil
	}
	var err error
	if len(k.mu.buf) > 0 {
		err = k.sendLocked()
	}
	putBuffer(k.mu.buf)
	k.mu.buf = nil
	return err
}

// buffers are for bytes on their way out; a connection at rest holds none.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func getBuffer() []byte { return (*buffers.Get().(*[]byte))[:0] }

func putBuffer(b []byte) {
	if cap(b) == 0 || cap(b) > 2*sendFull {
		return
	}
	b = b[:0]
	buffers.Put(&b)
}
