package connect

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/egress"
	"sampan.dev/internal/pki"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
)

// claims are addresses that a node may write into its own status or that of its pods, each of which leads where the hub must
// not go. The hub's own port is 6443 on 192.0.2.1.
var claims = []string{
	"127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "192.0.2.1", "::ffff:192.0.2.1", "::ffff:127.0.0.1", "::192.0.2.1", "64:ff9b::c000:201", "2002:c000:201::1",
	"169.254.169.254", "fe80::1", "fe80::1%lo", "fd00:ec2::254", "224.0.0.1", "255.255.255.255", "10.96.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "192.0.2.01",
	"localhost", "localhost.", "LocalHost", "own.example", "rebound.example", "kubernetes.default.svc", "",
}

// hijacked is a hub whose node, pod and service are all at an address that the node chose.
func hijacked(address string, dialled *[]string) rig {
	port, yes := int32(6443), true
	name := "p"
	objs := door{
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}, {Type: corev1.NodeHostName, Address: address}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: port}}}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "one"}, Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c", Ports: []corev1.ContainerPort{{ContainerPort: port}}}}},
			Status: corev1.PodStatus{PodIP: address, PodIPs: []corev1.PodIP{{IP: address}}}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: name, Port: 80}}}},
		&discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s-1", Labels: map[string]string{discoveryv1.LabelServiceName: "s"}},
			Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}}, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{address},
				Conditions: discoveryv1.EndpointConditions{Ready: &yes}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "ns", Name: "one"}}}},
	}
	out := egress.New(egress.Config{
		Never: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")},
		Own:   func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:6443")} },
		Local: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.0.2.1")} },
		Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			switch host {
			case "own.example":
				return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
			case "kubernetes.default.svc":
				return []netip.Addr{netip.MustParseAddr("10.96.0.1")}, nil
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}, nil
		},
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			*dialled = append(*dialled, address)
			return nil, errors.New("connected")
		},
	})
	return rig{Connector: New(Config{Door: func() client.Reader { return objs }, Egress: out, Log: slog.New(slog.DiscardHandler)})}
}

// upgrading asks for one of the protocols that exec, attach and port-forward are carried over.
func upgrading(r *http.Request, protocol string) {
	r.Header.Set(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	r.Header.Set(httpstream.HeaderUpgrade, "SPDY/3.1")
	if protocol != "SPDY" {
		r.Header.Set(httpstream.HeaderUpgrade, "websocket")
		r.Header.Set("Sec-Websocket-Version", "13")
		r.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		r.Header.Set("Sec-Websocket-Protocol", protocol)
	}
}

// hijackable is a recorder whose connection may be taken over, by a client that only listens and soon leaves.
type hijackable struct{ *httptest.ResponseRecorder }

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	ours, theirs := net.Pipe()
	go func() {
		_, _ = io.CopyN(io.Discard, theirs, 1<<10) // the handshake, and how the session ended
		theirs.Close()
	}()
	time.AfterFunc(time.Minute, func() { theirs.Close() })
	return ours, bufio.NewReadWriter(bufio.NewReader(ours), bufio.NewWriter(ours)), nil
}

func TestNoPathLeadsTheHubToItself(t *testing.T) {
	for _, address := range claims {
		var dialled []string
		r := hijacked(address, &dialled)
		ask := func(what, name, path, query, protocol string) {
			t.Helper()
			rec := httptest.NewRecorder()
			err := r.serve(hijackable{rec}, what, name, path, query, func(req *http.Request) {
				if protocol != "" {
					upgrading(req, protocol)
				}
			})
			if len(dialled) > 0 {
				t.Errorf("%s %s%s?%s at %q over %q: connected to %v", what, name, path, query, address, protocol, dialled)
				dialled = nil
			}
			if err == nil && rec.Code < 400 && protocol != "v5.channel.k8s.io" { // which has been upgraded by then
				t.Errorf("%s %s%s?%s at %q over %q: %d", what, name, path, query, address, protocol, rec.Code)
			}
		}
		ask("pods/log", "one", "", "", "")
		ask("pods/log", "one", "", "follow=true&insecureSkipTLSVerifyBackend=true", "")
		for _, protocol := range []string{"SPDY", "v4.channel.k8s.io", "v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"} {
			ask("pods/exec", "one", "", "command=sh&stdout=1", protocol)
			ask("pods/attach", "one", "", "stdout=1", protocol)
			ask("pods/portforward", "one", "", "ports=80", protocol)
		}
		for _, name := range []string{"n", "n:6443", "https:n:6443", "http:n:6443", "n:10250", "https:n:"} {
			if (address == "192.0.2.1" || address == "own.example") && name == "n:10250" {
				continue // another port of this machine, which may be anybody's
			}
			ask("nodes/proxy", name, "/api/v1/secrets", "", "")
			ask("nodes/proxy", name, "/exec/ns/one/c", "", "SPDY")
		}
		for _, name := range []string{"one", "one:6443", "https:one:6443", "https:one:"} {
			ask("pods/proxy", name, "/api/v1/secrets", "", "")
			ask("pods/proxy", name, "/", "", "v4.channel.k8s.io")
		}
		ask("services/proxy", "s:80", "/api/v1/secrets", "", "")
		ask("services/proxy", "https:s:p", "/api/v1/secrets", "", "")
	}
}

// A node that says it is where another is does not get what is meant for it: the other's kubelet shows its own name.
func TestAKubeletIsKnownByItsNode(t *testing.T) {
	store, err := pki.Open(pki.Config{Dir: t.TempDir() + "/pki"})
	if err != nil {
		t.Fatal(err)
	}
	serving := func(ca *pki.Authority, node string, names ...string) *tls.Certificate {
		c, err := ca.Issue(pki.Request{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}, DNSNames: names, Server: true})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	plain, err := store.KubeletCA.Issue(pki.Request{CommonName: "kube-apiserver", DNSNames: []string{"n"}, Server: true})
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		shows *tls.Certificate
		ok    bool
	}{
		"its own":                               {serving(store.KubeletCA, "n", "n"), true},
		"another node's":                        {serving(store.KubeletCA, "m", "m"), false},
		"another node's with its name":          {serving(store.KubeletCA, "m", "n"), false},
		"of the cluster's authority, as of now": {serving(store.CA, "n", "n"), false},
		"nobody's":                              {plain, false},
		"the API server's":                      {store.APIServer.Certificate(), false},
	} {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "log") }))
		srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{*c.shows}}
		srv.StartTLS()
		dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, srv.Listener.Addr().String())
		}
		objs := door{
			&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.8"}}}},
			&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "one"}, Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c"}}}},
		}
		r := rig{Connector: New(Config{Door: func() client.Reader { return objs }, KubeletTLS: store.KubeletTLS(), Egress: egress.New(egress.Config{Dial: dial}), Log: slog.New(slog.DiscardHandler)})}
		rec, err := r.do("pods/log", "one", "", "")
		if (err == nil && rec.Body.String() == "log") != c.ok {
			t.Errorf("%s: %v %q", what, err, rec.Body)
		}
		srv.Close()
	}
}

// The kubelet of this process is reached where it is known to listen, whatever its Node says.
func TestTheLocalKubeletIsKnown(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "log") }))
	defer srv.Close()
	objs := door{
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "one"}, Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c"}}}},
	}
	r := rig{Connector: New(Config{Door: func() client.Reader { return objs }, KubeletTLS: &tls.Config{InsecureSkipVerify: true}, Log: slog.New(slog.DiscardHandler),
		Local: func() (string, netip.AddrPort) { return "n", netip.MustParseAddrPort(srv.Listener.Addr().String()) }})}
	if rec, err := r.do("pods/log", "one", "", ""); err != nil || rec.Body.String() != "log" {
		t.Errorf("%v %q", err, rec.Body)
	}
}

// A backend that answers with a redirect is not followed: the client is told, or for what the hub asks itself it is an error.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := 0
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer trap.Close()
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		code, _ := strconv.Atoi(req.URL.Query().Get("sinceSeconds"))
		if code == 0 {
			code = http.StatusTemporaryRedirect
		}
		http.Redirect(w, req, trap.URL+"/api/v1/secrets", code)
	}), true)
	for _, code := range []int{301, 302, 303, 307, 308} {
		if rec, err := r.do("pods/log", "one", "", "sinceSeconds="+strconv.Itoa(code)); err == nil {
			t.Errorf("%d from a kubelet became %d %s", code, rec.Code, rec.Body)
		}
	}
	for _, what := range []string{"pods/proxy", "nodes/proxy"} {
		rec, err := r.do(what, map[string]string{"pods/proxy": "one", "nodes/proxy": "n"}[what], "/x", "")
		if err != nil || rec.Code != http.StatusTemporaryRedirect {
			t.Errorf("%s: %d %v", what, rec.Code, err)
		}
		if loc, _ := url.Parse(rec.Header().Get("Location")); loc == nil || !strings.HasPrefix(trap.URL, "http://"+loc.Host) {
			t.Errorf("%s: %v", what, rec.Header())
		}
	}
	for _, protocol := range []string{"SPDY", "v4.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"} {
		for _, what := range []string{"pods/exec", "pods/portforward"} {
			rec := httptest.NewRecorder()
			_ = r.serve(rec, what, "one", "", "command=sh&stdout=1&ports=80", func(req *http.Request) { upgrading(req, protocol) })
		}
	}
	if elsewhere > 0 {
		t.Errorf("%d requests went where a redirect led", elsewhere)
	}
}
