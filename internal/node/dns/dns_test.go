package dns

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fake is a source made of lists.
type fake struct {
	svcs []*corev1.Service
	eps  []*discoveryv1.EndpointSlice
}

func (f fake) service(ns, name string) (*corev1.Service, bool) {
	for _, s := range f.svcs {
		if s.Namespace == ns && s.Name == name {
			return s, true
		}
	}
	return nil, false
}

func (f fake) namespace(ns string) bool {
	return slices.ContainsFunc(f.svcs, func(s *corev1.Service) bool { return s.Namespace == ns })
}

func (f fake) slices(ns, name string) (out []*discoveryv1.EndpointSlice) {
	for _, e := range f.eps {
		if e.Namespace == ns && e.Labels[discoveryv1.LabelServiceName] == name {
			out = append(out, e)
		}
	}
	return out
}

func (f fake) serviceByIP(ip string) (*corev1.Service, bool) {
	for _, s := range f.svcs {
		if s.Spec.ClusterIP == ip {
			return s, true
		}
	}
	return nil, false
}

func (f fake) slicesByIP(ip string) (out []*discoveryv1.EndpointSlice) {
	for _, e := range f.eps {
		if slices.ContainsFunc(e.Endpoints, func(x discoveryv1.Endpoint) bool { return x.Addresses[0] == ip }) {
			out = append(out, e)
		}
	}
	return out
}

func svc(name, ip string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: ports}}
}

func port(name string, n int32, p corev1.Protocol) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: n, Protocol: p}
}

func cluster() fake {
	ext := svc("ext", "")
	ext.Spec.Type, ext.Spec.ExternalName = corev1.ServiceTypeExternalName, "www.example.org"
	inner := svc("inner", "")
	inner.Spec.Type, inner.Spec.ExternalName = corev1.ServiceTypeExternalName, "web.ns.svc.cluster.local"
	host, no, name, tcp, n := "web-0", false, "http", corev1.ProtocolTCP, int32(8080)
	return fake{
		svcs: []*corev1.Service{svc("web", "10.96.0.20", port("http", 80, "TCP"), port("dns", 53, "UDP")),
			svc("db", "None", port("http", 8080, "TCP")), svc("idle", "None"), svc("kubernetes", "10.96.0.1"), ext, inner},
		eps: []*discoveryv1.EndpointSlice{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "db-x", Labels: map[string]string{discoveryv1.LabelServiceName: "db"}},
			Ports:      []discoveryv1.EndpointPort{{Name: &name, Protocol: &tcp, Port: &n}},
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.5"}, Hostname: &host}, {Addresses: []string{"10.244.0.6"}},
				{Addresses: []string{"10.244.0.7"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}}},
		}},
	}
}

func newServer(t *testing.T, upstream string) *Server {
	t.Helper()
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolv, []byte("search x\nnameserver 10.96.0.10\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Server{log: slog.New(slog.NewTextHandler(io.Discard, nil)), zone: &zone{domain: "cluster.local.", src: cluster(),
		own: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("10.96.0.0/16")}}}
	s.fwd = newForwarder(resolv, func(a netip.Addr) bool { return a.String() == "10.96.0.10" })
	if upstream != "" {
		s.fwd.servers, s.fwd.read = []string{upstream}, time.Now().Add(time.Hour)
	}
	return s
}

func TestAnswers(t *testing.T) {
	s := newServer(t, "")
	for _, c := range []struct {
		name string
		typ  uint16
		want string // rcode and records, sorted
	}{
		{"web.ns.svc.cluster.local.", dns.TypeA, "NOERROR A 10.96.0.20"},
		{"WEB.ns.svc.Cluster.Local.", dns.TypeA, "NOERROR A 10.96.0.20"},
		{"web.ns.svc.cluster.local.", dns.TypeAAAA, "NOERROR SOA"},
		{"web.ns.svc.cluster.local.", dns.TypeTXT, "NOERROR SOA"},
		{"nope.ns.svc.cluster.local.", dns.TypeA, "NXDOMAIN SOA"},
		{"web.other.svc.cluster.local.", dns.TypeA, "NXDOMAIN SOA"},
		{"ns.svc.cluster.local.", dns.TypeA, "NOERROR SOA"},
		{"other.svc.cluster.local.", dns.TypeA, "NXDOMAIN SOA"},
		{"svc.cluster.local.", dns.TypeA, "NOERROR SOA"},
		{"cluster.local.", dns.TypeA, "NOERROR SOA"},
		{"cluster.local.", dns.TypeSOA, "NOERROR SOA"},
		{"cluster.local.", dns.TypeNS, "NOERROR NS ns.dns.cluster.local."},
		{"example.org.cluster.local.", dns.TypeA, "NXDOMAIN SOA"},
		{"db.ns.svc.cluster.local.", dns.TypeA, "NOERROR A 10.244.0.5|A 10.244.0.6"},
		{"web-0.db.ns.svc.cluster.local.", dns.TypeA, "NOERROR A 10.244.0.5"},
		{"10-244-0-6.db.ns.svc.cluster.local.", dns.TypeA, "NOERROR A 10.244.0.6"},
		{"web-9.db.ns.svc.cluster.local.", dns.TypeA, "NXDOMAIN SOA"},
		{"idle.ns.svc.cluster.local.", dns.TypeA, "NXDOMAIN SOA"},
		{"_http._tcp.web.ns.svc.cluster.local.", dns.TypeSRV, "NOERROR SRV 0 100 80 web.ns.svc.cluster.local."},
		{"_dns._udp.web.ns.svc.cluster.local.", dns.TypeSRV, "NOERROR SRV 0 100 53 web.ns.svc.cluster.local."},
		{"_dns._tcp.web.ns.svc.cluster.local.", dns.TypeSRV, "NXDOMAIN SOA"},
		{"_tcp.web.ns.svc.cluster.local.", dns.TypeA, "NOERROR SOA"},
		{"_http._tcp.web.ns.svc.cluster.local.", dns.TypeA, "NOERROR SOA"},
		{"_http._tcp.db.ns.svc.cluster.local.", dns.TypeSRV, "NOERROR SRV 0 50 8080 10-244-0-6.db.ns.svc.cluster.local.|SRV 0 50 8080 web-0.db.ns.svc.cluster.local."},
		{"10-244-3-4.ns.pod.cluster.local.", dns.TypeA, "NOERROR A 10.244.3.4"},
		{"rubbish.ns.pod.cluster.local.", dns.TypeA, "NXDOMAIN SOA"},
		{"20.0.96.10.in-addr.arpa.", dns.TypePTR, "NOERROR PTR web.ns.svc.cluster.local."},
		{"5.0.244.10.in-addr.arpa.", dns.TypePTR, "NOERROR PTR web-0.db.ns.svc.cluster.local."},
		{"99.0.244.10.in-addr.arpa.", dns.TypePTR, "NXDOMAIN SOA"},
		{"1.2.0.192.in-addr.arpa.", dns.TypePTR, "SERVFAIL"}, // nobody to forward to
		{"ext.ns.svc.cluster.local.", dns.TypeA, "NOERROR CNAME www.example.org."},
		{"ext.ns.svc.cluster.local.", dns.TypeCNAME, "NOERROR CNAME www.example.org."},
		{"inner.ns.svc.cluster.local.", dns.TypeA, "NOERROR A 10.96.0.20|CNAME web.ns.svc.cluster.local."},
		{"dns-version.cluster.local.", dns.TypeTXT, `NOERROR TXT "1.1.0"`},
	} {
		m := new(dns.Msg)
		m.SetQuestion(c.name, c.typ)
		r := s.respond(t.Context(), m, false)
		if got := text(r); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.name, dns.TypeToString[c.typ], got, c.want)
		}
		if r.Rcode != dns.RcodeServerFailure && (!r.Authoritative || r.Id != m.Id || r.Question[0].Name != c.name) {
			t.Errorf("%s: header %+v", c.name, r.MsgHdr)
		}
	}
}

func text(r *dns.Msg) string {
	var list []string
	for _, rr := range append(r.Answer, r.Ns...) {
		s := strings.TrimPrefix(rr.String(), rr.Header().String())
		if rr.Header().Rrtype == dns.TypeSOA {
			s = ""
		}
		list = append(list, strings.TrimSpace(dns.TypeToString[rr.Header().Rrtype]+" "+s))
	}
	slices.Sort(list)
	return strings.TrimSpace(dns.RcodeToString[r.Rcode] + " " + strings.Join(list, "|"))
}

// world is a name server elsewhere that knows www.example.org and counts its queries.
func world(t *testing.T) (addr string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		asked.Add(1)
		r := new(dns.Msg).SetReply(m)
		rr, _ := dns.NewRR(m.Question[0].Name + " 20 IN A 203.0.113.7")
		r.Answer = append(r.Answer, rr)
		_ = w.WriteMsg(r)
	})}
	go srv.ActivateAndServe()
	t.Cleanup(func() { _ = srv.Shutdown() })
	return pc.LocalAddr().String(), asked
}

func TestForwarding(t *testing.T) {
	addr, asked := world(t)
	s := newServer(t, addr)
	now := time.Now()
	s.fwd.now = func() time.Time { return now }
	ask := func(name string) *dns.Msg {
		m := new(dns.Msg)
		m.SetQuestion(name, dns.TypeA)
		r := s.respond(t.Context(), m, false)
		if r.Id != m.Id {
			t.Errorf("id %d, want %d", r.Id, m.Id)
		}
		return r
	}
	if got := text(ask("www.example.org.")); got != "NOERROR A 203.0.113.7" {
		t.Error(got)
	}
	now = now.Add(15 * time.Second)
	if r := ask("WWW.example.org."); asked.Load() != 1 || r.Answer[0].Header().Ttl != 5 {
		t.Errorf("asked %d times, ttl %d", asked.Load(), r.Answer[0].Header().Ttl)
	}
	now = now.Add(6 * time.Second)
	if ask("www.example.org."); asked.Load() != 2 {
		t.Errorf("asked %d times after the answer ran out", asked.Load())
	}
	if got := text(ask("ext.ns.svc.cluster.local.")); got != "NOERROR A 203.0.113.7|CNAME www.example.org." {
		t.Error(got)
	}
}

// A name server that does not answer makes one client wait, not every one.
func TestSilentServersAreLeftAlone(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0") // which never answers
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	s := newServer(t, pc.LocalAddr().String())
	m := new(dns.Msg)
	m.SetQuestion("example.org.", dns.TypeA)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s.respond(ctx, m, false)
	start := time.Now()
	if r := s.respond(t.Context(), m, false); r.Rcode != dns.RcodeServerFailure || time.Since(start) > time.Second {
		t.Errorf("%s after %v", dns.RcodeToString[r.Rcode], time.Since(start))
	}
}

// Over real sockets, with an answer that does not fit a small datagram.
func TestServeAndTruncate(t *testing.T) {
	s := newServer(t, "")
	big := svc("big", "None")
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Labels: map[string]string{discoveryv1.LabelServiceName: "big"}}}
	for i := range 100 {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{netip.AddrFrom4([4]byte{10, 244, 1, byte(i)}).String()}})
	}
	src := s.zone.src.(fake)
	s.zone.src = fake{append(src.svcs, big), append(src.eps, slice)}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.cfg.Slices, s.cfg.Nodes = emptySlices(t), emptyNodes(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.serve(ctx, pc, l) }()
	m := new(dns.Msg)
	m.SetQuestion("big.ns.svc.cluster.local.", dns.TypeA)
	r, _, err := (&dns.Client{}).Exchange(m, pc.LocalAddr().String())
	if err != nil || !r.Truncated || len(r.Answer) == 0 || len(r.Answer) > 40 {
		t.Errorf("udp: %v truncated %v, %d answers", err, r.Truncated, len(r.Answer))
	}
	m.SetEdns0(4096, false)
	if r, _, err = (&dns.Client{UDPSize: 4096}).Exchange(m, pc.LocalAddr().String()); err != nil || r.Truncated || len(r.Answer) != 100 {
		t.Errorf("edns: %v, %d answers", err, len(r.Answer))
	}
	if r, _, err = (&dns.Client{Net: "tcp"}).Exchange(m, l.Addr().String()); err != nil || len(r.Answer) != 100 {
		t.Errorf("tcp: %v, %d answers", err, len(r.Answer))
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNameserversAreNotLoops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte("# x\nnameserver 10.96.0.10\nnameserver 192.0.2.53\nnameserver ::1\noptions ndots:5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := nameservers(path, func(a netip.Addr) bool { return a.String() == "10.96.0.10" })
	if !slices.Equal(got, []string{"192.0.2.53:53", "[::1]:53"}) {
		t.Errorf("got %v", got)
	}
}

func TestReverse(t *testing.T) {
	for name, want := range map[string]string{
		"1.2.0.192.in-addr.arpa.": "192.0.2.1",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.": "2001:db8::1",
		"2.0.192.in-addr.arpa.": "", "x.": "", "a.2.0.192.in-addr.arpa.": "",
	} {
		ip, ok := reverse(name)
		if ok != (want != "") || ok && ip.String() != want {
			t.Errorf("%s: %v %v", name, ip, ok)
		}
	}
}
