package nft

import (
	"errors"
	"fmt"
	"net"
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
func needNetNS(t testing.TB) {
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

// whoami serves TCP and UDP on a port inside a namespace: the answer is its name and the address of who asks.
func whoami(t *testing.T, ns, name string, port int) {
	t.Helper()
	in(t, ns, func() error {
		l, err := net.Listen("tcp4", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		pc, err := net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
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
				fmt.Fprintf(c, "%s %s", name, host(c.RemoteAddr()))
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
				_, _ = pc.WriteTo([]byte(name+" "+host(from)), from)
			}
		}()
		return nil
	})
}

func host(a net.Addr) string {
	h, _, _ := net.SplitHostPort(a.String())
	return h
}

// ask dials from a namespace ("" is the node) and returns who answered and whom it saw.
func ask(t *testing.T, ns, network, addr string) (name, saw string, err error) {
	t.Helper()
	do := func() error {
		c, e := net.DialTimeout(network, addr, 500*time.Millisecond)
		if e != nil {
			err = e
			return nil
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(500 * time.Millisecond))
		if network == "udp" {
			_, _ = c.Write([]byte("?"))
		}
		buf := make([]byte, 100)
		n, e := c.Read(buf)
		name, saw, _ = strings.Cut(string(buf[:n]), " ")
		err = e
		return nil
	}
	if ns == "" {
		_ = do()
	} else {
		in(t, ns, do)
	}
	return name, saw, err
}

// machine makes a namespace joined to the node by a routed link, as pods are; gw is the node's address on that link.
func machine(t *testing.T, link, addr, gw string) string {
	t.Helper()
	ns := newNS(t)
	h, err := netns.GetFromPath(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = link
	v := netlink.NewVeth(attrs)
	v.PeerName, v.PeerNamespace = "eth0", netlink.NsFd(int(h))
	if err := netlink.LinkAdd(v); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(v) })
	join(t, link, gw, addr)
	in(t, ns, func() error {
		join(t, "lo", "", "")
		join(t, "eth0", addr, gw)
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		_, all, _ := net.ParseCIDR("0.0.0.0/0")
		return netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: all, Gw: net.ParseIP(gw).To4()})
	})
	return ns
}

func join(t *testing.T, link, addr, peer string) {
	t.Helper()
	l, err := netlink.LinkByName(link)
	if err == nil {
		err = netlink.LinkSetUp(l)
	}
	if err == nil && addr != "" {
		err = netlink.AddrReplace(l, &netlink.Addr{IPNet: one(addr), Peer: one(peer)})
	}
	if err != nil {
		t.Fatal(link, err)
	}
}

func one(ip string) *net.IPNet {
	return &net.IPNet{IP: net.ParseIP(ip).To4(), Mask: net.CIDRMask(32, 32)}
}
