package plane

import (
	"io"
	"net"
	"testing"

	"sampan.dev/internal/config"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/machine/further"
	"sampan.dev/internal/node/hostnet"
)

// Whatever --listen says, what is advertised is listened on, and is an address that an endpoint may have.
func TestWhatIsAdvertisedIsListenedOn(t *testing.T) {
	host, err := hostnet.Address()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		listen, nodeIP string
		noNode         bool
		want           string // advertised
	}{
		{"0.0.0.0:0", "", false, host.String()},
		{"[::]:0", "", false, host.String()},
		{"0.0.0.0:0", "192.0.2.7", false, "192.0.2.7"},
		{"127.0.0.1:0", "", false, "10.244.0.1"},
		{"127.0.0.2:0", "", false, "10.244.0.1"},
		{"[::1]:0", "", false, "10.244.0.1"},
		{"127.0.0.1:0", "192.0.2.7", false, "10.244.0.1"},
		{"127.0.0.1:0", "", true, host.String()}, // there are no pods; as upstream
	} {
		cfg := config.Default()
		cfg.DataDir, cfg.Listen, cfg.NodeIP, cfg.NoNode, cfg.ClusterCIDR, cfg.ServiceCIDR = t.TempDir(), test.listen, test.nodeIP, test.noNode, "10.244.0.0/16", "10.96.0.0/16"
		ip, err := advertised(cfg)
		if err != nil || ip.String() != test.want {
			t.Errorf("%s: advertised %v, %v; want %s", test.listen, ip, err, test.want)
		}
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", test.listen, err)
		}
		l, err := OpenListener(cfg)
		if err != nil {
			t.Errorf("%s: %v", test.listen, err)
			continue
		}
		if all, ok := l.(*listeners); ok != (test.want == "10.244.0.1") || ok && all.mu.all[1].Addr().(*net.TCPAddr).IP.String() != test.want {
			t.Errorf("%s: listens on %v", test.listen, l.Addr())
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	cfg := config.Default()
	cfg.DataDir, cfg.Listen, cfg.Nodes = t.TempDir(), "127.0.0.1:6443", 2
	if err := machine.Settle(&cfg); err != nil {
		t.Errorf("two nodes on loopback: %v", err)
	}
	if ip, err := advertised(cfg); err != nil || ip.String() != further.NodeAddr(cfg, 1).String() {
		t.Errorf("two nodes on loopback: advertised %v, %v", ip, err)
	}
}

// Several listeners are as good as one.
func TestListeners(t *testing.T) {
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newListeners(first)
	for _, ip := range []string{"127.0.0.2", "192.0.2.99"} { // the second is nobody's yet
		if err := l.also(net.ParseIP(ip)); err != nil {
			t.Fatal(err)
		}
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, ip := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.1"} {
		c, err := net.Dial("tcp", net.JoinHostPort(ip, port))
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if host, _, _ := net.SplitHostPort(got.LocalAddr().String()); host != ip {
			t.Errorf("accepted on %s, dialled %s", host, ip)
		}
		got.Close()
		c.Close()
	}
	pending, err := net.Dial("tcp", net.JoinHostPort("127.0.0.2", port)) // that nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := pending.Read(make([]byte, 1)); err == nil || err == io.ErrNoProgress {
		t.Error("a connection outlives its listener unaccepted")
	}
	if _, err := l.Accept(); err == nil {
		t.Error("accepted after the end")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
