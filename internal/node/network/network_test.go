package network

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/node/netnstest"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
)

// newNetwork makes a network that is set up as Run would, without the goroutine that follows nodes.
func newNetwork(t *testing.T, instance string) *Network {
	t.Helper()
	netnstest.Need(t)
	dir := t.TempDir()
	n := New(Config{Instance: instance, NodeName: "n1", DataDir: dir, RunDir: dir, ConfDir: filepath.Join(dir, "cni"),
		ClusterCIDR: netip.MustParsePrefix("10.244.0.0/16"), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	start(t, n)
	t.Cleanup(func() {
		if err := Cleanup(instance); err != nil {
			t.Error(err)
		}
		if left := traces(t, n.names); len(left) > 0 {
			t.Errorf("cleanup left %v", left)
		}
		conn, _ := nftables.New()
		if tables, _ := conn.ListTables(); slices.ContainsFunc(tables, func(x *nftables.Table) bool { return x.Name == n.names.table() }) {
			t.Errorf("cleanup left table %s", n.names.table())
		}
	})
	return n
}

func start(t *testing.T, n *Network) {
	t.Helper()
	var err error
	n.h = mustHandle(t)
	if n.leases, err = openLedger(filepath.Join(n.dir(), "leases")); err != nil {
		t.Fatal(err)
	}
	if err := n.setup(testRange); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { n.removeLinks(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
}

func addPod(t *testing.T, n *Network, id, ns, conf string) netip.Addr {
	t.Helper()
	res, err := n.handle(t.Context(), &request{Command: "ADD", ContainerID: id, NetNS: ns, IfName: "eth0", Config: json.RawMessage(conf)})
	if err != nil {
		t.Fatal(err)
	}
	return netip.MustParsePrefix(res.(*result).IPs[0].Address).Addr()
}

const plain = `{"cniVersion":"1.0.0"}`

func TestPodsReachEachOtherTheNodeAndTheWorld(t *testing.T) {
	world := outside2(t)
	n := newNetwork(t, "0a1b2c3d")
	nsA, nsB := netnstest.New(t), netnstest.New(t)
	a, b := addPod(t, n, "a", nsA, plain), addPod(t, n, "b", nsB, plain)
	whoami(t, nsB, 8080)
	whoami(t, world, 8080)

	expect(t, nsA, "tcp", b.String()+":8080", a.String())  // pod to pod, untranslated
	expect(t, nsA, "udp", b.String()+":8080", a.String())  //
	expect(t, nsB, "tcp", "127.0.0.1:8080", "127.0.0.1")   // lo is up
	expect(t, "", "tcp", b.String()+":8080", "10.244.3.1") // node to pod, from the gateway address
	expect(t, nsA, "tcp", "192.0.2.2:8080", "192.0.2.1")   // what leaves the cluster has the node's address
	if _, mtu := n.current(); mtu != 1400 {
		t.Errorf("mtu %d, want the uplink's 1400", mtu)
	}
	l, err := net.Listen("tcp", "10.244.3.1:0") // node DNS listens there
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	netnstest.In(t, nsA, func() error {
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			c.Close()
		}
		return err
	})
}

func outside2(t *testing.T) string { netnstest.Need(t); return outside(t) }

func TestHostPorts(t *testing.T) {
	world := outside2(t)
	n := newNetwork(t, "")
	nsA, nsB, nsC := netnstest.New(t), netnstest.New(t), netnstest.New(t)
	a := addPod(t, n, "a", nsA, `{"cniVersion":"1.0.0","runtimeConfig":{"portMappings":[
		{"hostPort":5000,"containerPort":8080,"protocol":"tcp"},{"hostPort":5000,"containerPort":8080,"protocol":"UDP"}]}}`)
	b := addPod(t, n, "b", nsB, `{"cniVersion":"1.0.0","runtimeConfig":{"portMappings":[
		{"hostPort":5001,"containerPort":8080,"protocol":"tcp","hostIP":"192.0.2.1"},{"hostPort":5002,"containerPort":8080,"protocol":"tcp","hostIP":"127.0.0.1"}]}}`)
	c := addPod(t, n, "c", nsC, plain)
	whoami(t, nsA, 8080)
	whoami(t, nsB, 8080)

	expect(t, world, "tcp", "192.0.2.1:5000", "192.0.2.2")
	expect(t, world, "udp", "192.0.2.1:5000", "192.0.2.2")
	expect(t, "", "tcp", "192.0.2.1:5000", "192.0.2.1")
	expect(t, "", "tcp", "127.0.0.1:5000", "")
	expect(t, "", "udp", "127.0.0.1:5000", "")
	expect(t, nsC, "tcp", "192.0.2.1:5000", c.String())
	expect(t, nsA, "tcp", "192.0.2.1:5000", "") // to itself
	expect(t, world, "tcp", "192.0.2.1:5001", "192.0.2.2")
	expect(t, "", "tcp", "127.0.0.1:5002", "")
	if _, err := ask("tcp", "127.0.0.1:5001"); err == nil {
		t.Error("a port of one address answers on another")
	}
	if _, err := n.handle(t.Context(), &request{Command: "ADD", ContainerID: "d", NetNS: netnstest.New(t), IfName: "eth0",
		Config: json.RawMessage(`{"runtimeConfig":{"portMappings":[{"hostPort":5000,"containerPort":1,"protocol":"tcp"}]}}`)}); err == nil {
		t.Error("a host port was given twice")
	}
	// A new process on the same data keeps what is there.
	again := New(n.cfg)
	start(t, again)
	expect(t, world, "tcp", "192.0.2.1:5000", "192.0.2.2")
	if le := again.leases.find("a", "eth0"); le == nil || le.Address != a {
		t.Errorf("lease after restart: %+v", le)
	}
	for _, id := range []string{"a", "b", "nobody"} {
		if _, err := again.handle(t.Context(), &request{Command: "DEL", ContainerID: id, IfName: "eth0", Config: json.RawMessage(plain)}); err != nil {
			t.Error(err)
		}
	}
	if _, err := ask("tcp", "192.0.2.1:5000"); err == nil {
		t.Error("host port answers after its pod is gone")
	}
	_ = b
}

func TestSweepFreesWhatNoNamespaceHolds(t *testing.T) {
	n := newNetwork(t, "0a1b2c3d")
	nsA := netnstest.New(t)
	addPod(t, n, "a", nsA, plain)
	gone := addPod(t, n, "b", netnstest.New(t), plain)
	le := n.leases.find("b", "eth0")
	le.NetNS = filepath.Join(t.TempDir(), "gone")
	stray := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "smp0a1b2c3dzz"}}
	if netlink.LinkAdd(stray) != nil { // no dummy links in this kernel
		_ = netlink.LinkAdd(&netlink.Bridge{LinkAttrs: stray.LinkAttrs})
	}
	n.sweep()
	if n.leases.find("b", "eth0") != nil {
		t.Errorf("%s is still leased", gone)
	}
	var left []string
	for _, x := range traces(t, n.names) {
		if strings.HasPrefix(x, "smp") {
			left = append(left, x)
		}
	}
	slices.Sort(left)
	if want := []string{"smp0a1b2c3d2", "smp0a1b2c3dgw00"}; !slices.Equal(left, want) {
		t.Errorf("links %v, want %v", left, want)
	}
}

// What others remove comes back, with what changed meanwhile.
func TestOthersBreakTheRules(t *testing.T) {
	world := outside2(t)
	n := newNetwork(t, "0a1b2c3d")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { n.guardRules(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	pod := netnstest.New(t)
	port := `{"cniVersion":"1.0.0","runtimeConfig":{"portMappings":[{"hostPort":5000,"containerPort":8080,"protocol":"tcp"}]}}`
	addPod(t, n, "a", pod, port)
	whoami(t, pod, 8080)
	whoami(t, world, 8080)
	expect(t, world, "tcp", "192.0.2.1:5000", "192.0.2.2")
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	c.FlushRuleset()
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { _, err := ask("tcp", "192.0.2.1:5000"); return err == nil })
	expect(t, pod, "tcp", "192.0.2.2:8080", "192.0.2.1")
	// Flushed just before a pod goes: neither is that an error, nor does its port come back.
	c.FlushRuleset()
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := n.del(&request{ContainerID: "a", IfName: "eth0"}); err != nil {
		t.Error(err)
	}
	addPod(t, n, "b", pod2(t), port)
	expect(t, world, "tcp", "192.0.2.1:5000", "192.0.2.2")
}

func pod2(t *testing.T) string {
	ns := netnstest.New(t)
	whoami(t, ns, 8080)
	return ns
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within two minutes")
		}
	}
}

// A network of somebody else's is used from when its configuration appears until that goes, even if the folder comes later.
func TestForeignConfigurationComesAndGoes(t *testing.T) {
	n := newNetwork(t, "0a1b2c3d")
	etc := t.TempDir()
	n.cfg.ForeignDir = filepath.Join(etc, "cni", "net.d")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { n.followConf(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	holds := func(name string) func() bool {
		return func() bool {
			entries, _ := os.ReadDir(n.cfg.ConfDir)
			return len(entries) == 1 && entries[0].Name() == name
		}
	}
	eventually(t, holds(confName))
	conf := filepath.Join(n.cfg.ForeignDir, "05-cilium.conflist")
	for range 2 {
		if err := os.MkdirAll(n.cfg.ForeignDir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(conf, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		eventually(t, holds("00-foreign.conflist"))
		if err := os.Remove(conf); err != nil {
			t.Fatal(err)
		}
		eventually(t, holds(confName))
		if err := os.RemoveAll(filepath.Join(etc, "cni")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestForeignConfiguration(t *testing.T) {
	dir, foreign := t.TempDir(), t.TempDir()
	if got := foreignConf(foreign); got != "" {
		t.Errorf("found %s", got)
	}
	if err := os.WriteFile(filepath.Join(foreign, "05-cilium.conflist"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeConf(dir, "/s"); err != nil {
		t.Fatal(err)
	}
	if err := linkConf(dir, foreignConf(foreign)); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 || entries[0].Name() != "00-foreign.conflist" {
		t.Errorf("entries %v", entries)
	}
}

func TestPlugin(t *testing.T) {
	n := newNetwork(t, "")
	bin := filepath.Join(t.TempDir(), "sampan-cni")
	build := exec.Command("go", "build", "-o", bin, "sampan.dev/cmd/sampan-cni")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v %s", err, out)
	}
	sock := Socket(n.cfg.RunDir)
	conf := `{"cniVersion":"1.1.0","name":"sampan","type":"sampan-cni","socket":"` + sock + `"}`
	call := func(command, ns string) (string, error) {
		cmd := exec.Command(bin)
		cmd.Env = []string{"CNI_COMMAND=" + command, "CNI_CONTAINERID=x", "CNI_NETNS=" + ns, "CNI_IFNAME=eth0", "CNI_ARGS=K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p"}
		cmd.Stdin = strings.NewReader(conf)
		out, err := cmd.Output()
		return string(out), err
	}
	if out, err := call("DEL", ""); err != nil || out != "" {
		t.Errorf("DEL without the node: %v %s", err, out)
	}
	if out, err := call("STATUS", ""); err == nil || !strings.Contains(out, `"code":50`) {
		t.Errorf("STATUS without the node: %v %s", err, out)
	}
	l, err := listen(sock)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.serveConn(t.Context(), c)
		}
	}()
	defer l.Close()
	ns := netnstest.New(t)
	out, err := call("ADD", ns)
	if err != nil || !strings.Contains(out, `"address":"10.244.3.2/32"`) || !strings.Contains(out, `"cniVersion":"1.1.0"`) {
		t.Errorf("ADD: %v %s", err, out)
	}
	if le := n.leases.find("x", "eth0"); le == nil || le.Pod != "p" || le.Namespace != "ns" {
		t.Errorf("lease %+v", le)
	}
	for _, c := range []string{"CHECK", "STATUS", "DEL"} {
		if out, err := call(c, ns); err != nil {
			t.Errorf("%s: %v %s", c, err, out)
		}
	}
	if out, err := call("VERSION", ""); err != nil || !strings.Contains(out, "supportedVersions") {
		t.Errorf("VERSION: %v %s", err, out)
	}
}

// The MTU of the link to the world is that of the next pods, whenever it changes.
func TestHostChanged(t *testing.T) {
	outside2(t)
	n := newNetwork(t, "0a1b2c3d")
	if _, mtu := n.current(); mtu != 1400 {
		t.Fatalf("MTU %d", mtu)
	}
	l, err := netlink.LinkByName("uplink0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetMTU(l, 1300); err != nil {
		t.Fatal(err)
	}
	n.HostChanged()
	if len(n.changed) == 0 || len(n.filters) == 0 {
		t.Error("routes and packet filters are not looked at")
	}
	n.followMTU()
	pod := netnstest.New(t)
	addPod(t, n, "a", pod, plain)
	netnstest.In(t, pod, func() error {
		l, err := netlink.LinkByName("eth0")
		if err == nil && l.Attrs().MTU != 1300 {
			t.Errorf("the pod's MTU is %d", l.Attrs().MTU)
		}
		return err
	})
}
