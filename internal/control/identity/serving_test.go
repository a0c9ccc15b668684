package identity

import (
	"crypto/x509"
	"net"
	"net/netip"
	"testing"

	"sampan.dev/internal/api"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func policy() ServingPolicy {
	hub := &x509.Certificate{
		DNSNames:    []string{"boat", "kubernetes", "kubernetes.default.svc", "localhost", "API.example.org"},
		IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1), net.IPv4(10, 96, 0, 1), net.IPv4(127, 0, 0, 1), net.ParseIP("2001:db8::1")},
	}
	return ServingPolicy{
		Hub: func() *x509.Certificate { return hub }, Domain: "cluster.local",
		Never: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("10.244.0.0/16")},
		Local: "boat", LocalIPs: func() []net.IP { return []net.IP{net.IPv4(192, 0, 2, 1)} },
	}
}

func v4(s string) net.IP { return net.ParseIP(s).To4() }

// A node gets a certificate for its own name and the address that it asks from, and for nothing else, whatever form that has and
// whatever its Node says.
func TestWhatANodeProves(t *testing.T) {
	p := policy()
	for _, c := range []struct {
		node, source, granted string
		names                 []string
		ips                   []net.IP
		ok                    bool
	}{
		{"n1", "192.0.2.7", "", []string{"n1"}, []net.IP{v4("192.0.2.7")}, true},
		{"n1", "192.0.2.7", "", []string{"n1"}, nil, true},
		{"n1", "2001:db8::7", "", []string{"n1"}, []net.IP{net.ParseIP("2001:db8::7")}, true},
		{"kubernetes-worker.example.org", "192.0.2.7", "", []string{"kubernetes-worker.example.org"}, nil, true},
		{"n1", "192.0.2.7", "192.0.2.8, n1.example.org", []string{"n1", "n1.example.org"}, []net.IP{v4("192.0.2.7"), v4("192.0.2.8")}, true},
		// In this process, where the node's machine is the hub's.
		{"boat", "", "", []string{"boat"}, []net.IP{v4("192.0.2.1")}, true},
		{"boat", "", "", []string{"boat"}, []net.IP{v4("192.0.2.9")}, false},
		{"boat", "", "", []string{"boat", "kubernetes"}, nil, false},
		{"boat", "", "", []string{"boat"}, []net.IP{v4("127.0.0.1")}, false},
		{"boat", "192.0.2.7", "", []string{"boat"}, nil, false}, // by the name of the node here, but from elsewhere
		{"n1", "", "", []string{"n1"}, []net.IP{v4("192.0.2.1")}, false},
		// Addresses that a node would like to have.
		{"n1", "192.0.2.7", "", nil, []net.IP{v4("192.0.2.8")}, false},
		{"n1", "192.0.2.7", "", nil, []net.IP{v4("192.0.2.7"), v4("192.0.2.8")}, false},
		{"n1", "192.0.2.7", "", nil, []net.IP{net.ParseIP("192.0.2.7").To16()}, false}, // mapped
		{"n1", "unknown", "", nil, []net.IP{v4("192.0.2.7")}, false},
		{"n1", "", "", nil, []net.IP{v4("192.0.2.7")}, false},
	} {
		if why := p.refuse(ask(c.node, c.source, c.granted), request(c.names, c.ips)); (why == "") != c.ok {
			t.Errorf("%s from %q with %q: %v %v: %q", c.node, c.source, c.granted, c.names, c.ips, why)
		}
	}
}

// A node in another process of the hub's machine proves by its connection that it is there; what it may have is the same.
func TestWhatANodeBesideProves(t *testing.T) {
	p := policy()
	p.Beside = true
	for _, c := range []struct {
		node, source string
		names        []string
		ips          []net.IP
		ok           bool
	}{
		{"boat", "127.0.0.1", []string{"boat"}, []net.IP{v4("192.0.2.1")}, true},
		{"boat", "::1", []string{"boat"}, []net.IP{v4("192.0.2.1")}, true},
		{"boat", "192.0.2.1", []string{"boat"}, []net.IP{v4("192.0.2.1")}, true},
		{"boat", "127.0.0.1", []string{"boat"}, []net.IP{v4("127.0.0.1")}, false},
		{"boat", "127.0.0.1", []string{"boat", "kubernetes"}, nil, false},
		{"boat", "127.0.0.1", []string{"boat"}, []net.IP{v4("192.0.2.9")}, false},
		{"boat", "192.0.2.7", []string{"boat"}, nil, false},
		{"boat", "unknown", []string{"boat"}, nil, false},
		{"boat", "", []string{"boat"}, nil, false},
		{"n1", "127.0.0.1", []string{"n1"}, []net.IP{v4("192.0.2.1")}, false},
	} {
		if why := p.refuse(ask(c.node, c.source, ""), request(c.names, c.ips)); (why == "") != c.ok {
			t.Errorf("%s from %q: %v %v: %q", c.node, c.source, c.names, c.ips, why)
		}
	}
}

func ask(node, source, granted string) served {
	c := &csr{}
	if source != "" {
		c.Spec.Extra = map[string]certificatesv1.ExtraValue{api.ExtraSourceAddress: {source}}
	}
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node, Annotations: map[string]string{api.AnnotationServingNames: granted}}}
	// Its own word for everything.
	for _, a := range append(badNames, "192.0.2.8", "192.0.2.1") {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: a}, corev1.NodeAddress{Type: corev1.NodeInternalDNS, Address: a},
			corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	return servedBy(n, c)
}

func request(names []string, ips []net.IP) *x509.CertificateRequest {
	return &x509.CertificateRequest{DNSNames: names, IPAddresses: ips}
}

// badNames are names that are somebody's already, or mean another one.
var badNames = []string{
	"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "KUBERNETES.default.svc", "kubernetes.default.svc.",
	"localhost", "LOCALHOST", "localhost.", "a.localhost", "web.default.svc", "web.default.svc.cluster.local", "*.default.svc", "*", "*.example.org", "n1.*",
	"cluster.local", "Cluster.Local", "n1.cluster.local", "boat", "BOAT", "boat.", "api.example.org", "API.example.org", "api.example.org.",
	"n2", "N1", "n1.", ".n1", "n1 ", "n1\x00.example.org", "xn--n1-abc", "a.xn--p1ai", "пример", "n1.example.org", "n_1", "",
	"127.0.0.1", "10.96.0.1", "192.0.2.1", "192.0.2.8", "2130706433", "0x7f.1", "0177.0.0.1", "::1", "169.254.169.254",
}

// badAddresses are those that no machine of a cluster has, or that are the hub's or the services'.
var badAddresses = []string{
	"127.0.0.1", "127.8.8.8", "0.0.0.0", "0.0.0.1", "::", "::1", "10.96.0.1", "10.96.0.10", "10.244.1.1", "192.0.2.1", "2001:db8::1", "169.254.169.254", "fe80::1", "224.0.0.1", "255.255.255.255", "ff02::1",
	"::192.0.2.8", "64:ff9b::c000:201", "2002:c000:201::", "::ffff:0:192.0.2.1", "fd00:ec2::254",
}

// Neither a name that is taken nor an address that is special comes by any way: not by calling the node so, not by coming from
// there, not by an administrator's slip.
func TestWhatNoNodeGets(t *testing.T) {
	p := policy()
	for _, name := range badNames {
		for who, s := range map[string]served{
			"a node of another name": ask("n1", "192.0.2.7", ""),
			"a node of that name":    ask(name, "192.0.2.7", ""),
		} {
			if why := p.refuse(s, request([]string{name}, nil)); why == "" && !(who == "a node of that name" && (name == "n2" || name == "n1.example.org")) {
				t.Errorf("%s gets %q", who, name)
			}
			if why := p.refuse(s, request([]string{s.node, name}, []net.IP{v4("192.0.2.7")})); why == "" && !(who == "a node of that name" && (name == "n2" || name == "n1.example.org")) {
				t.Errorf("%s gets %q beside its own", who, name)
			}
		}
		if why := p.refuse(ask("n1", "192.0.2.7", name), request([]string{name}, nil)); why == "" && name != "n2" && name != "n1.example.org" {
			t.Errorf("by a grant %q is had", name)
		}
	}
	for _, address := range badAddresses {
		a := netip.MustParseAddr(address)
		for _, ip := range []net.IP{net.IP(a.AsSlice()), net.IP(a.AsSlice()).To16()} {
			for who, s := range map[string]served{
				"who is elsewhere":     ask("n1", "192.0.2.7", ""),
				"who comes from there": ask("n1", address, ""),
				"by a grant":           ask("n1", "192.0.2.7", address),
				"the node here":        ask("boat", "", ""),
			} {
				if why := p.refuse(s, request(nil, []net.IP{ip})); why == "" && !(who == "the node here" && address == "192.0.2.1") {
					t.Errorf("%s gets %v", who, ip)
				}
			}
		}
	}
	if why := p.refuse(ask("n1", "192.0.2.7", ""), request(nil, []net.IP{{192, 0, 2}, nil})); why == "" {
		t.Error("what is no address is had")
	}
}
