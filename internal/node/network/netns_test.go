package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// TestMain runs the tests again in network and mount namespaces of their own, so that they may do as they like and leave
// nothing behind. Without root, those that need it are skipped.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 || os.Getenv("SAMPAN_TEST_NETNS") != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), "SAMPAN_TEST_NETNS=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "no namespaces here:", err)
		os.Exit(m.Run())
	}
}

// needNetNS skips a test that changes the network outside a namespace of its own.
func needNetNS(t *testing.T) {
	t.Helper()
	if os.Getenv("SAMPAN_TEST_NETNS") == "" {
		t.Skip("needs root and network namespaces")
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
}

// newNS makes a namespace that lives as long as the test, held by a process that sleeps in it.
func newNS(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // Pdeathsig is about this thread
	t.Cleanup(runtime.UnlockOSThread)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return path
}

// in runs fn on a thread inside a namespace. The thread is not used again.
func in(t *testing.T, path string, fn func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		ns, err := netns.GetFromPath(path)
		if err == nil {
			defer ns.Close()
			err = netns.Set(ns)
		}
		if err == nil {
			err = fn()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Helper()
		t.Fatalf("in %s: %v", path, err)
	}
}

// whoami serves TCP and UDP on addr inside a namespace: the answer is the address of who asks.
func whoami(t *testing.T, ns string, port int) {
	t.Helper()
	in(t, ns, func() error {
		l, err := net.Listen("tcp", fmt.Sprintf("0.0.0.0:%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		pc, err := net.ListenPacket("udp", fmt.Sprintf("0.0.0.0:%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { pc.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte(host(c.RemoteAddr())))
				c.Close()
			}
		}()
		go func() {
			buf := make([]byte, 100)
			for {
				_, from, err := pc.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = pc.WriteTo([]byte(host(from)), from)
			}
		}()
		return nil
	})
}

func host(a net.Addr) string {
	h, _, _ := net.SplitHostPort(a.String())
	return h
}

// ask dials and returns what whoami says.
func ask(network, addr string) (string, error) {
	c, err := net.DialTimeout(network, addr, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if network == "udp" {
		if _, err := c.Write([]byte("?")); err != nil {
			return "", err
		}
	}
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

func expect(t *testing.T, ns, network, addr, want string) {
	t.Helper()
	do := func() error {
		got, err := ask(network, addr)
		if err != nil {
			return fmt.Errorf("%s %s: %w", network, addr, err)
		}
		if want != "" && got != want {
			return fmt.Errorf("%s %s: came from %s, want %s", network, addr, got, want)
		}
		return nil
	}
	if ns == "" {
		if err := do(); err != nil {
			t.Error(err)
		}
		return
	}
	in(t, ns, do)
}

// outside makes a namespace beyond the node, joined by a link; the node has 192.0.2.1 there, it has 192.0.2.2.
func outside(t *testing.T) string {
	t.Helper()
	ns := newNS(t)
	h, err := netns.GetFromPath(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Flags, attrs.MTU = "uplink0", net.FlagUp, 1400
	v := netlink.NewVeth(attrs)
	v.PeerName, v.PeerNamespace = "eth0", netlink.NsFd(int(h))
	if err := netlink.LinkAdd(v); err != nil {
		t.Fatal(err)
	}
	address(t, "uplink0", "192.0.2.1/24")
	in(t, ns, func() error {
		address(t, "eth0", "192.0.2.2/24")
		return nil
	})
	def := &netlink.Route{LinkIndex: index(t, "uplink0"), Dst: everywhere(), Gw: net.ParseIP("192.0.2.2").To4()}
	if err := netlink.RouteReplace(def); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = delLink(mustHandle(t), "uplink0") })
	return ns
}

func address(t *testing.T, link, cidr string) {
	t.Helper()
	l, err := netlink.LinkByName(link)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := netlink.ParseAddr(cidr)
	if err := errors.Join(netlink.AddrReplace(l, a), netlink.LinkSetUp(l)); err != nil {
		t.Fatal(err)
	}
}

func index(t *testing.T, link string) int {
	t.Helper()
	l, err := netlink.LinkByName(link)
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().Index
}

func mustHandle(t *testing.T) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandle()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// traces are what an instance has in this namespace: links, routes, tables.
func traces(t *testing.T, n names) []string {
	t.Helper()
	var out []string
	h := mustHandle(t)
	links, err := h.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, "smp") {
			out = append(out, l.Attrs().Name)
		}
	}
	routes, err := listRoutes(h, n)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		out = append(out, r.String())
	}
	return out
}

var testRange = netip.MustParsePrefix("10.244.3.0/24")
