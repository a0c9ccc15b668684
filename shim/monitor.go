package main

import (
	"net"
	"sync"
	"time"
)

// How long a monitor without containers stays for one that was announced, and for containerd to hang up.
const (
	announced = 10 * time.Second
	farewell  = time.Minute
)

// monitor decides when the process may end: when it has no container, none was announced by a launcher, and containerd has closed
// its connections or farewell has passed.
//
// mu guards the fields below it; containers is called under it. Once ended is set, launchers are refused and start another
// monitor, so that no container is promised to a process that ends. At most one goroutine runs leave, while watch is set.
type monitor struct {
	control    net.Listener  // where launchers announce containers
	containers func() int    // how many containers and sandboxes there are
	gone       chan struct{} // closed when it is time to end

	mu struct {
		sync.Mutex
		await []time.Time // one for each container that was announced and not yet made: when it is waited for no longer; ascending
		conns int         // how many connections of containerd are open
		ended bool        // the process is about to end
		watch bool        // leave runs
	}
}

// answer serves the control socket: it promises launchers that the monitor stays. A launcher that reads no byte starts another one.
func (m *monitor) answer() {
	for {
		c, err := m.control.Accept()
		if err != nil {
			return
		}
		m.mu.Lock()
		if !m.mu.ended {
			m.mu.await = append(m.mu.await, time.Now().Add(announced))
			_, _ = c.Write([]byte{'.'})
		}
		m.mu.Unlock()
		c.Close()
	}
}

// idle starts leave if there is no container left.
func (m *monitor) idle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.mu.watch && m.containers() == 0 {
		m.mu.watch = true
		go m.leave()
	}
}

// leave waits until the process may end and ends it, or returns when there is a container again.
func (m *monitor) leave() {
	left := time.Now()
	for ; ; time.Sleep(20 * time.Millisecond) {
		m.mu.Lock()
		switch {
		case m.containers() > 0:
			m.mu.watch = false
			m.mu.Unlock()
			return
		case m.awaitedLocked(), m.mu.conns > 0 && time.Since(left) < farewell:
			m.mu.Unlock()
			continue
		}
		m.mu.ended = true
		m.mu.Unlock()
		m.control.Close() // takes its file along
		close(m.gone)
		return
	}
}

// took notes that a container was made, which may be one that was announced.
func (m *monitor) took() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.mu.await) > 0 {
		m.mu.await = m.mu.await[1:]
	}
}

// awaitedLocked reports whether a container was announced and is still waited for.
func (m *monitor) awaitedLocked() bool {
	for len(m.mu.await) > 0 && time.Now().After(m.mu.await[0]) {
		m.mu.await = m.mu.await[1:]
	}
	return len(m.mu.await) > 0
}

// countingListener counts the open connections of containerd for a monitor.
type countingListener struct {
	net.Listener
	m *monitor
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.m.add(1)
	return &countedConn{Conn: c, m: l.m}, nil
}

func (m *monitor) add(n int) {
	m.mu.Lock()
	m.mu.conns += n
	m.mu.Unlock()
}

type countedConn struct {
	net.Conn
	m    *monitor
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.m.add(-1) })
	return c.Conn.Close()
}
