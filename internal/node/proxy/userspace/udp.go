package userspace

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// How long a flow may be silent: as the kernel's connection tracking has it, but that a lone question and its answer are
// forgotten sooner, since each flow costs a socket here.
const (
	idleOnce   = 10 * time.Second
	idleStream = 120 * time.Second
	streamFrom = 3 // datagrams of the client's
)

// mostFlows is how many flows one port may have at a time; beyond it the one that was silent longest makes room.
const mostFlows = 4096

// datagrams are buffers of one datagram each. A flow that waits has none.
var datagrams = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// udpFront hands the datagrams of one socket on: one flow for each client and address that it asked, with a socket of its own,
// so that answers find back. The goroutine of serve makes flows; each flow's own takes answers and ends it. mu guards flows.
type udpFront struct {
	c    *net.UDPConn
	any  bool // listens at all addresses: answers have to leave from the one that was asked
	v6   bool
	bal  *balancer
	near func(from, to netip.Addr) bool
	wg   *sync.WaitGroup
	log  *slog.Logger
	idle func(sent int64) time.Duration // how long a flow may be silent after so many datagrams of the client's

	mu    sync.Mutex
	flows map[flowKey]*flow
}

type flowKey struct {
	client netip.AddrPort
	asked  netip.Addr // the zero Addr where the socket listens at one address only
}

type flow struct {
	key     flowKey
	backend netip.AddrPort
	c       *net.UDPConn
	last    atomic.Int64 // when something passed, in nanoseconds since 1970
	sent    atomic.Int64 // datagrams of the client's
}

func usualIdle(sent int64) time.Duration {
	if sent >= streamFrom {
		return idleStream
	}
	return idleOnce
}

// prepare has the kernel tell which address was asked.
func (f *udpFront) prepare() error {
	f.flows = map[flowKey]*flow{}
	switch {
	case !f.any:
		return nil
	case f.v6:
		return ipv6.NewPacketConn(f.c).SetControlMessage(ipv6.FlagDst, true)
	}
	return ipv4.NewPacketConn(f.c).SetControlMessage(ipv4.FlagDst, true)
}

// serve takes datagrams of clients until the socket is closed, and then ends all flows.
func (f *udpFront) serve() {
	buf, oob := make([]byte, 64<<10), make([]byte, 128)
	defer f.endAll(func(*flow) bool { return true })
	for {
		n, m, _, from, err := f.c.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // what became of an answer that was sent; nothing of the socket's
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		f.forward(flowKey{from, f.asked(oob[:m])}, buf[:n])
	}
}

// asked is the address that a datagram was for.
func (f *udpFront) asked(oob []byte) netip.Addr {
	if !f.any {
		return netip.Addr{}
	}
	var dst net.IP
	if f.v6 {
		var cm ipv6.ControlMessage
		if cm.Parse(oob) == nil {
			dst = cm.Dst
		}
	} else {
		var cm ipv4.ControlMessage
		if cm.Parse(oob) == nil {
			dst = cm.Dst
		}
	}
	a, _ := netip.AddrFromSlice(dst)
	return a.Unmap()
}

// source makes an answer leave from the address that was asked.
func (f *udpFront) source(k flowKey) []byte {
	switch {
	case !k.asked.IsValid():
		return nil
	case f.v6:
		return (&ipv6.ControlMessage{Src: k.asked.AsSlice()}).Marshal()
	}
	return (&ipv4.ControlMessage{Src: k.asked.AsSlice()}).Marshal()
}

// forward sends a datagram to the flow's endpoint. An endpoint whose port turned out to be closed is left for another one.
func (f *udpFront) forward(k flowKey, data []byte) {
	var tried []netip.AddrPort
	for range 2 {
		fl := f.flow(k, tried)
		if fl == nil {
			return
		}
		fl.last.Store(time.Now().UnixNano())
		fl.sent.Add(1)
		_, err := fl.c.Write(data)
		if err == nil || !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, net.ErrClosed) {
			return // what is lost on the way is the client's to say again
		}
		if f.bal.has(fl.backend) {
			tried = append(tried, fl.backend)
		}
		f.end(fl)
	}
}

// flow finds a client's flow or makes it; nil where no endpoint is to be had.
func (f *udpFront) flow(k flowKey, tried []netip.AddrPort) *flow {
	f.mu.Lock()
	fl := f.flows[k]
	f.mu.Unlock()
	if fl != nil {
		return fl
	}
	to := k.asked
	if !to.IsValid() {
		to = addrOfUDP(f.c.LocalAddr())
	}
	backend, ok := f.bal.pick(client{k.client.Addr().WithZone(""), func() bool { return f.near(k.client.Addr().WithZone(""), to) }}, tried, time.Now())
	if !ok {
		return nil
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(backend))
	if err != nil {
		f.log.Error("cannot reach a service's endpoint", "endpoint", backend, "err", err)
		return nil
	}
	fl = &flow{key: k, backend: backend, c: c}
	fl.last.Store(time.Now().UnixNano())
	f.mu.Lock()
	if len(f.flows) >= mostFlows {
		f.makeRoom()
	}
	f.flows[k] = fl
	f.mu.Unlock()
	if !f.bal.has(backend) { // it went while the flow was made, and nobody saw this one
		f.end(fl)
		return nil
	}
	f.wg.Go(func() { f.answers(fl) })
	return fl
}

// makeRoom ends the flow that was silent longest. The caller holds mu.
func (f *udpFront) makeRoom() {
	var oldest *flow
	for _, fl := range f.flows {
		if oldest == nil || fl.last.Load() < oldest.last.Load() {
			oldest = fl
		}
	}
	delete(f.flows, oldest.key)
	_ = oldest.c.Close()
}

// answers hands a flow's answers back until it was silent for too long, its endpoint is gone or its port closed.
func (f *udpFront) answers(fl *flow) {
	defer f.end(fl)
	raw, err := fl.c.SyscallConn()
	if err != nil {
		return
	}
	source := f.source(fl.key)
	for {
		deadline := time.Unix(0, fl.last.Load()).Add(f.idle(fl.sent.Load()))
		if !deadline.After(time.Now()) {
			return
		}
		_ = fl.c.SetReadDeadline(deadline)
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			buf := datagrams.Get().(*[]byte)
			defer datagrams.Put(buf)
			n, err := unix.Read(int(fd), *buf)
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
				return false
			}
			if failed = err; err == nil {
				fl.last.Store(time.Now().UnixNano())
				_, _, _ = f.c.WriteMsgUDPAddrPort((*buf)[:n], source, fl.key.client)
			}
			return true
		})
		if failed != nil || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// end forgets a flow.
func (f *udpFront) end(fl *flow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flows[fl.key] == fl {
		delete(f.flows, fl.key)
	}
	_ = fl.c.Close()
}

// endAll forgets the flows that which names.
func (f *udpFront) endAll(which func(*flow) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, fl := range f.flows {
		if which(fl) {
			delete(f.flows, k)
			_ = fl.c.Close()
		}
	}
}

// retarget ends the flows to endpoints that are gone: their clients' next datagram goes to another.
func (f *udpFront) retarget() { f.endAll(func(fl *flow) bool { return !f.bal.has(fl.backend) }) }

func (f *udpFront) close() { _ = f.c.Close() }

func addrOfUDP(a net.Addr) netip.Addr {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
