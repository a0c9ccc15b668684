package userspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"sampan.dev/internal/node/netnstest"
	"sampan.dev/internal/node/proxy"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// world is an applier that runs, and what it told.
type world struct {
	*Applier
	t    *testing.T
	mu   sync.Mutex
	told []string
	end  func()
}

func run(t *testing.T, cfg Config) *world {
	t.Helper()
	if os.Getenv("SAMPAN_TEST_NETNS") != "" {
		netnstest.Need(t) // its loopback device is down at first
	}
	w := &world{t: t}
	cfg.Tell = func(reason, message string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, reason)
	}
	w.Applier = New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.Run(ctx, func() {}) }()
	w.end = func() { cancel(); <-done }
	t.Cleanup(w.end)
	return w
}

// sockets is how many are open.
func (w *world) sockets() int {
	w.Applier.mu.Lock()
	defer w.Applier.mu.Unlock()
	return len(w.fronts)
}

// heard is what was told so far.
func (w *world) heard() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.told)
}

// say applies what keys mean now; an entry that is nil is gone.
func (w *world) say(changes map[proxy.Key]*proxy.Entry) {
	w.t.Helper()
	d := &proxy.Delta{Changes: map[proxy.Key]proxy.Change{}}
	for k, e := range changes {
		d.Changes[k] = proxy.Change{New: e}
	}
	if err := w.Apply(d); err != nil {
		w.t.Fatal(err)
	}
}

func backends(to ...netip.AddrPort) *proxy.Entry { return &proxy.Entry{Front: balance(0, to...)} }

// tcpBackend says its name to who connects, and then repeats what it hears until the end of it.
func tcpBackend(t *testing.T, name string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprintf(c, "%-8s", name)
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// udpBackend answers each datagram with its name.
func udpBackend(t *testing.T, name string) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort([]byte(name+":"+string(buf[:n])), from)
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// freePort is one that nobody has, for a moment at least.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// hello connects and returns the connection and the name that the backend says.
func hello(t *testing.T, to netip.AddrPort) (net.Conn, string) {
	t.Helper()
	c, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	name := make([]byte, 8)
	if _, err := io.ReadFull(c, name); err != nil {
		t.Fatalf("no backend behind %s: %v", to, err)
	}
	return c, string(name[:1])
}

// ask sends a datagram from a socket until it is answered, since datagrams may be lost.
func ask(t *testing.T, c net.Conn, what string) string {
	t.Helper()
	buf := make([]byte, 100)
	for {
		_, _ = c.Write([]byte(what))
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		n, err := c.Read(buf)
		switch {
		case err == nil:
			return string(buf[:n])
		case t.Context().Err() != nil:
			t.Fatal("no answer")
		}
	}
}

// Connections go to endpoints, say all they have to, and stay where they are when the endpoints change; new ones go to the
// new endpoints. Without endpoints, and without the Service, they are refused.
func TestTCP(t *testing.T) {
	w := run(t, Config{})
	a, b := tcpBackend(t, "a"), tcpBackend(t, "b")
	at := netip.AddrPortFrom(netip.MustParseAddr("127.7.7.1"), freePort(t))
	k := proxy.Key{Addr: at.Addr(), Proto: unix.IPPROTO_TCP, Port: at.Port()}
	w.say(map[proxy.Key]*proxy.Entry{k: backends(a)})
	first, name := hello(t, at)
	if name != "a" {
		t.Errorf("behind is %s", name)
	}
	w.say(map[proxy.Key]*proxy.Entry{k: backends(b)})
	if _, name := hello(t, at); name != "b" {
		t.Errorf("after the change behind is %s", name)
	}
	w.say(map[proxy.Key]*proxy.Entry{k: {Refuse: proxy.Reject}})
	if _, err := net.Dial("tcp", at.String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("without endpoints: %v, want a refusal", err)
	}
	w.say(map[proxy.Key]*proxy.Entry{k: nil})
	if _, err := net.Dial("tcp", at.String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("without the Service: %v, want a refusal", err)
	}
	// The connection of before has seen none of that; its end of one direction is handed on as such.
	big := make([]byte, 1<<20)
	go func() {
		_, _ = first.Write(big)
		_ = first.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(first); err != nil || len(got) != len(big) {
		t.Errorf("%d of %d bytes came back: %v", len(got), len(big), err)
	}
	w.end()
	if w.sockets() != 0 {
		t.Errorf("%d sockets are open after the end", w.sockets())
	}
}

// An endpoint that does not answer is left for another; without one that does, the client sees the end at once.
func TestTCPEndpointIsDead(t *testing.T) {
	w := run(t, Config{})
	a := tcpBackend(t, "a")
	dead := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), freePort(t))
	at := netip.AddrPortFrom(netip.MustParseAddr("127.7.7.2"), freePort(t))
	k := proxy.Key{Addr: at.Addr(), Proto: unix.IPPROTO_TCP, Port: at.Port()}
	w.say(map[proxy.Key]*proxy.Entry{k: backends(a, dead)})
	for range 10 {
		hello(t, at)
	}
	w.say(map[proxy.Key]*proxy.Entry{k: backends(dead)})
	c, err := net.Dial("tcp", at.String())
	if err == nil {
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if err == nil {
		t.Error("something answered")
	}
}

// With session affinity all connections of a client go to one endpoint.
func TestTCPAffinity(t *testing.T) {
	w := run(t, Config{})
	at := netip.AddrPortFrom(netip.MustParseAddr("127.7.7.3"), freePort(t))
	k := proxy.Key{Addr: at.Addr(), Proto: unix.IPPROTO_TCP, Port: at.Port()}
	w.say(map[proxy.Key]*proxy.Entry{k: {Front: balance(10800, tcpBackend(t, "a"), tcpBackend(t, "b"), tcpBackend(t, "c"))}})
	_, want := hello(t, at)
	for range 20 {
		if _, got := hello(t, at); got != want {
			t.Fatalf("to %s after %s", got, want)
		}
	}
}

// Who is not within the source ranges gets nothing.
func TestSourceRanges(t *testing.T) {
	w := run(t, Config{})
	at := netip.AddrPortFrom(netip.MustParseAddr("127.7.7.4"), freePort(t))
	k := proxy.Key{Addr: at.Addr(), Proto: unix.IPPROTO_TCP, Port: at.Port()}
	e := backends(tcpBackend(t, "a"))
	e.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	w.say(map[proxy.Key]*proxy.Entry{k: e})
	c, err := net.Dial("tcp", at.String())
	if err == nil {
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if err == nil || errors.Is(err, io.EOF) {
		t.Errorf("let in: %v", err)
	}
}

// A client's datagrams go to one endpoint while that is one; then to another. Answers come from the address that was asked,
// also at a node port, which listens at all addresses.
func TestUDP(t *testing.T) {
	w := run(t, Config{})
	a, b := udpBackend(t, "a"), udpBackend(t, "b")
	port := freePort(t)
	for name, k := range map[string]proxy.Key{
		"cluster IP": {Addr: netip.MustParseAddr("127.7.7.5"), Proto: unix.IPPROTO_UDP, Port: port},
		"node port":  {Proto: unix.IPPROTO_UDP, Port: freePort(t)},
	} {
		t.Run(name, func(t *testing.T) {
			at := netip.AddrPortFrom(netip.MustParseAddr("127.7.7.5"), k.Port)
			w.say(map[proxy.Key]*proxy.Entry{k: backends(a)})
			// A connected socket takes answers from the address that it asked alone.
			c, err := net.Dial("udp", at.String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := ask(t, c, "1"); got != "a:1" {
				t.Errorf("got %q", got)
			}
			w.say(map[proxy.Key]*proxy.Entry{k: backends(a, b)})
			for range 10 {
				if got := ask(t, c, "2"); got != "a:2" {
					t.Fatalf("the flow went elsewhere: %q", got)
				}
			}
			w.say(map[proxy.Key]*proxy.Entry{k: backends(b)})
			for got := ""; got != "b:3"; { // a late answer of the endpoint that went is a thing of the past
				got = ask(t, c, "3")
			}
			w.say(map[proxy.Key]*proxy.Entry{k: nil})
			if w.sockets() != 0 {
				t.Errorf("%d sockets are open", w.sockets())
			}
		})
	}
}

// A silent flow ends, and its socket with it.
func TestUDPFlowsEnd(t *testing.T) {
	w := run(t, Config{})
	at := netip.AddrPortFrom(netip.MustParseAddr("127.7.7.6"), freePort(t))
	k := proxy.Key{Addr: at.Addr(), Proto: unix.IPPROTO_UDP, Port: at.Port()}
	bal := newBalancer(*backends(udpBackend(t, "a")))
	if _, err := w.holds.hold(k.Addr); err != nil {
		t.Fatal(err)
	}
	s, err := w.listen(k, bal)
	if err != nil {
		t.Fatal(err)
	}
	f := s.(*udpFront)
	idle := make(chan int64, 1000)
	f.idle = func(sent int64) time.Duration { idle <- sent; return 10 * time.Millisecond }
	var served sync.WaitGroup
	served.Go(f.serve)
	c, err := net.Dial("udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask(t, c, "1")
	for left := 1; left > 0; {
		<-idle // each flow asks before it ends
		f.mu.Lock()
		left = len(f.flows)
		f.mu.Unlock()
		if left > 0 {
			select {
			case idle <- 0:
			default:
			}
		}
	}
	f.close()
	served.Wait()
	w.end()
	if usualIdle(1) >= usualIdle(streamFrom) {
		t.Error("a question alone is remembered as long as a stream")
	}
}

// A port that another program has is told, and had as soon as it is free. One of SCTP is told and not tried again.
func TestPortIsTaken(t *testing.T) {
	w := run(t, Config{})
	l, err := net.Listen("tcp4", "127.7.7.7:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	k := proxy.Key{Addr: at.Addr(), Proto: unix.IPPROTO_TCP, Port: at.Port()}
	sctp := proxy.Key{Addr: at.Addr(), Proto: unix.IPPROTO_SCTP, Port: at.Port()}
	e := backends(tcpBackend(t, "a"))
	w.say(map[proxy.Key]*proxy.Entry{k: e, sctp: e})
	w.say(map[proxy.Key]*proxy.Entry{k: e, sctp: e})
	if want := []string{ReasonPortUnavailable, ReasonPortUnavailable}; !slices.Equal(w.heard(), want) {
		t.Errorf("told %v, want %v", w.heard(), want)
	}
	l.Close()
	w.retry()
	hello(t, at)
}

// Clients near by are served by endpoints elsewhere where those from afar are not.
func TestNear(t *testing.T) {
	w := run(t, Config{Pods: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}})
	to := netip.MustParseAddr("10.96.0.1")
	for from, want := range map[string]bool{"10.244.3.4": true, "127.0.0.1": true, "10.96.0.1": true, "192.0.2.77": false} {
		if got := w.near(netip.MustParseAddr(from), to); got != want {
			t.Errorf("%s is near: %v", from, got)
		}
	}
}
