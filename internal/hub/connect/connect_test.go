package connect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/egress"
	"sampan.dev/internal/hub/verb"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// door reads from a list of objects.
type door []api.Object

func (d door) Get(_ context.Context, ref client.Ref, _ metav1.GetOptions) (runtime.Object, error) {
	for _, o := range d {
		if o.GetName() == ref.Name && o.GetNamespace() == ref.Namespace && resource(o) == ref.Resource {
			return o, nil
		}
	}
	return nil, apierrors.NewNotFound(ref.Resource.GroupResource(), ref.Name)
}

func (d door) List(_ context.Context, ref client.Ref, opts metav1.ListOptions) (*client.List, error) {
	l := &client.List{}
	for _, o := range d {
		if resource(o) == ref.Resource && opts.LabelSelector == discoveryv1.LabelServiceName+"="+o.GetLabels()[discoveryv1.LabelServiceName] {
			l.Items = append(l.Items, o)
		}
	}
	return l, nil
}

func (d door) Watch(context.Context, client.Ref, metav1.ListOptions) (watch.Interface, error) {
	return nil, errors.New("no watch")
}

func resource(o api.Object) any {
	switch o.(type) {
	case *corev1.Pod:
		return client.Pods
	case *corev1.Node:
		return client.Nodes
	case *corev1.Service:
		return client.Services
	case *discoveryv1.EndpointSlice:
		return client.EndpointSlices
	}
	return nil
}

// rig is a connector whose nodes and pods are all one test server.
type rig struct {
	*Connector
	t *testing.T
}

func newRig(t *testing.T, backend http.Handler, trust bool, more ...api.Object) rig {
	t.Helper()
	srv := httptest.NewTLSServer(backend)
	t.Cleanup(srv.Close)
	plain := httptest.NewServer(backend)
	t.Cleanup(plain.Close)
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	n, _ := strconv.Atoi(port)
	two := corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "a"}, {Name: "b"}}, InitContainers: []corev1.Container{{Name: "i"}}}
	pod := func(name string, spec corev1.PodSpec) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Spec: spec, Status: corev1.PodStatus{PodIP: "192.0.2.7", PodIPs: []corev1.PodIP{{IP: "192.0.2.7"}}}}
	}
	objs := append(door{
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "nowhere.invalid"}, {Type: corev1.NodeInternalIP, Address: "192.0.2.8"}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(n)}}}},
		pod("one", corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c", Ports: []corev1.ContainerPort{{ContainerPort: 8080}}}}}),
		pod("two", two),
		pod("pending", corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}),
		pod("lost", corev1.PodSpec{NodeName: "gone", Containers: []corev1.Container{{Name: "c"}}}),
	}, more...)
	roots := x509.NewCertPool()
	if trust {
		roots.AddCert(srv.Certificate())
	}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		switch {
		case strings.HasPrefix(addr, "192.0.2.7:"): // the pod
			addr = plain.Listener.Addr().String()
		case strings.HasPrefix(addr, "192.0.2.8:"): // the node
			addr = srv.Listener.Addr().String()
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	return rig{New(Config{Door: func() client.Reader { return objs }, KubeletTLS: &tls.Config{RootCAs: roots, ServerName: "example.com"}, Egress: egress.New(egress.Config{Dial: dial}),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}), t}
}

// do makes one request of "resource/subresource".
func (r rig) do(what, name, path, query string) (*httptest.ResponseRecorder, error) {
	rec := httptest.NewRecorder()
	return rec, r.serve(rec, what, name, path, query, func(*http.Request) {})
}

func (r rig) serve(w http.ResponseWriter, what, name, path, query string, change func(*http.Request)) error {
	kind, sub, _ := strings.Cut(what, "/")
	ref := client.Ref{Resource: client.Pods, Namespace: "ns", Name: name, Subresource: sub}
	switch kind {
	case "services":
		ref.Resource = client.Services
	case "nodes":
		ref.Resource, ref.Namespace = client.Nodes, ""
	}
	req := httptest.NewRequest("GET", "/api/v1/namespaces/ns/"+kind+"/"+name+"/"+sub+path+"?"+query, nil)
	req.Header.Set("Authorization", "Bearer secret")
	change(req)
	return r.Connect(w, req, &verb.Request{Ref: ref, Warn: func(string) {}}, path)
}

func TestLog(t *testing.T) {
	var asked *url.URL
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked = req.URL
		if strings.HasSuffix(req.URL.Path, "/b") {
			http.Error(w, `container "b" in pod "two" is waiting to start: ContainerCreating`, http.StatusBadRequest)
			return
		}
		io.WriteString(w, "hello\n")
	}), true)
	rec, err := r.do("pods/log", "one", "", "follow=true&tailLines=5&sinceSeconds=3&timestamps=1")
	if err != nil || rec.Body.String() != "hello\n" || rec.Header().Get("Content-Type") != "text/plain" || !rec.Flushed {
		t.Errorf("%v %q", err, rec.Body)
	}
	if q := asked.Query(); asked.Path != "/containerLogs/ns/one/c" || q.Get("follow") != "true" || q.Get("tailLines") != "5" || q.Get("timestamps") != "true" {
		t.Errorf("asked %v", asked)
	}
	for _, c := range []struct {
		pod, query, want string
		code             int32
	}{
		{"two", "", "a container name must be specified for pod two, choose one of: [i a b]", 400},
		{"two", "container=x", "container x is not valid for pod two", 400},
		{"two", "container=b", "container \"b\" in pod \"two\" is waiting to start: ContainerCreating", 400},
		{"none", "", `pods "none" not found`, 404},
		{"lost", "", `nodes "gone" not found`, 404},
		{"one", "tailLines=-1", "PodLogOptions \"one\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0", 422},
		{"one", "limitBytes=0", "PodLogOptions \"one\" is invalid: limitBytes: Invalid value: 0: must be greater than 0", 422},
	} {
		_, err := r.do("pods/log", c.pod, "", c.query)
		var st apierrors.APIStatus
		if !errors.As(err, &st) || st.Status().Code != c.code || st.Status().Message != c.want {
			t.Errorf("%s %s: %v, want %d %s", c.pod, c.query, err, c.code, c.want)
		}
	}
	if rec, err := r.do("pods/log", "pending", "", ""); err != nil || rec.Code != http.StatusNoContent {
		t.Errorf("pending: %d %v", rec.Code, err)
	}
}

func TestKubeletsAreVerified(t *testing.T) {
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x") }), false)
	if _, err := r.do("pods/log", "one", "", ""); err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("an unknown kubelet was believed: %v", err)
	}
	if rec, err := r.do("pods/log", "one", "", "insecureSkipTLSVerifyBackend=true"); err != nil || rec.Body.String() != "x" {
		t.Errorf("on request: %v", err)
	}
}

func TestSessionsNeedAnUpgrade(t *testing.T) {
	r := newRig(t, http.NotFoundHandler(), true)
	for what, want := range map[string]string{"pods/exec": "Upgrade request required", "pods/attach": "Upgrade request required", "pods/portforward": "Upgrade request required"} {
		if _, err := r.do(what, "one", "", "command=x&stdout=1"); err == nil || err.Error() != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := r.do("pods/exec", "pending", "", "command=x&stdout=1"); err == nil || err.Error() != "pod pending does not have a host assigned" {
		t.Error(err)
	}
}

func TestProxies(t *testing.T) {
	name, port, yes := "web", int32(8080), true
	ready := discoveryv1.EndpointConditions{Ready: &yes}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s-1", Labels: map[string]string{discoveryv1.LabelServiceName: "s"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"192.0.2.7"}, Conditions: ready, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "ns", Name: "one"}},
			{Addresses: []string{"198.51.100.1"}, Conditions: ready, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "ns", Name: "one"}}, // a lie
		}}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "web", Port: 80}}}}
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "" {
			t.Error("the client's credential went on")
		}
		switch req.URL.Path {
		case "/moved":
			http.Redirect(w, req, "/there/", http.StatusFound)
		case "/page":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, `<a href="/x">x</a><a href="y">y</a><a href="https://elsewhere/z">z</a>`)
		default:
			io.WriteString(w, req.URL.RequestURI()+" "+req.Header.Get("X-Forwarded-Uri"))
		}
	}), true, svc, slice)
	base := "/api/v1/namespaces/ns/"
	for _, c := range []struct{ what, name, path, query, want string }{
		{"pods/proxy", "one", "/a/b", "q=1", "/a/b?q=1 " + base + "pods/one/proxy/a/b"},
		{"pods/proxy", "one:9999", "/", "", "/ " + base + "pods/one:9999/proxy/"},
		{"services/proxy", "s:80", "/a", "", "/a " + base + "services/s:80/proxy/a"},
		{"services/proxy", "http:s:web", "/a", "", "/a " + base + "services/http:s:web/proxy/a"},
		{"pods/proxy", "one", "/page", "", `<a href="` + base + `pods/one/proxy/x">x</a><a href="y">y</a><a href="https://elsewhere/z">z</a>`},
	} {
		for range 4 { // a service picks at random
			rec, err := r.do(c.what, c.name, c.path, c.query)
			if err != nil || strings.TrimSuffix(rec.Body.String(), "?") != c.want && strings.Replace(rec.Body.String(), "? ", " ", 1) != c.want {
				t.Errorf("%s %s%s: %q %v, want %q", c.what, c.name, c.path, rec.Body, err, c.want)
			}
		}
	}
	if rec, err := r.do("pods/proxy", "one", "/moved", ""); err != nil || rec.Header().Get("Location") != base+"pods/one/proxy/there/" {
		t.Errorf("redirect: %v %v", rec.Header(), err)
	}
	if rec, err := r.do("pods/proxy", "one", "", "q=1"); err != nil || rec.Code != 301 || rec.Header().Get("Location") != base+"pods/one/proxy/?q=1" {
		t.Errorf("root: %d %v %v", rec.Code, rec.Header(), err)
	}
	for name, want := range map[string]string{"s:81": `no service port 81 found for service "s"`, "s": `no endpoints available for service "s"`, "a:b:c:d": `invalid service request "a:b:c:d"`} {
		if _, err := r.do("services/proxy", name, "/", ""); err == nil || err.Error() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
