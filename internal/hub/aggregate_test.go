package hub

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/pki"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
)

const farPath = "/apis/far.example.com/v1"

// far is an API server elsewhere, which a hub reaches at any address that has a dot.
type far struct {
	*httptest.Server
	ca    *pki.Authority
	front *pki.Authority

	mu struct {
		sync.Mutex
		seen  []http.Header // of requests below farPath that were made for somebody
		path  string
		dead  bool
		docs  int // how often it was asked what it serves
		plain bool
	}
}

func newFar(t *testing.T) *far {
	t.Helper()
	f := &far{}
	var err error
	if f.ca, err = pki.NewAuthority("far-ca"); err != nil {
		t.Fatal(err)
	}
	if f.front, err = pki.NewAuthority("front-ca"); err != nil {
		t.Fatal(err)
	}
	cert, err := f.ca.Issue(pki.Request{CommonName: "far", Server: true, DNSNames: []string{"far.ext.svc"}})
	if err != nil {
		t.Fatal(err)
	}
	f.Server = httptest.NewUnstartedServer(f)
	f.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}, ClientCAs: f.front.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

// config has a hub reach it, and show it the front proxy's certificate.
func (f *far) config(t *testing.T) func(*Config) {
	proxy, err := f.front.Issue(pki.Request{CommonName: "front-proxy-client", Client: true})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) {
		c.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, f.Listener.Addr().String())
		}
		c.ProxyClient = pki.NewPair(proxy).GetClientCertificate
	}
}

const farDiscovery = `{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","items":[{"metadata":{"name":"far.example.com"},"versions":[{"version":"v1","resources":[{"resource":"things","singularResource":"thing","scope":"Namespaced","responseKind":{"group":"","version":"","kind":"Thing"},"verbs":["get","list"],"shortNames":["th"]}]}]}]}`

const farResources = `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"far.example.com/v1","resources":[{"name":"things","singularName":"thing","namespaced":true,"kind":"Thing","verbs":["get","list"]},{"name":"things/status","singularName":"","namespaced":true,"kind":"Thing","verbs":["get"]}]}`

func (f *far) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	dead, plain := f.mu.dead, f.mu.plain
	if r.Header.Get("X-Remote-User") != "system:kube-aggregator" {
		f.mu.seen, f.mu.path = append(f.mu.seen, r.Header), r.URL.String()
	}
	if r.URL.Path == "/apis" {
		f.mu.docs++
	}
	f.mu.Unlock()
	if dead {
		http.Error(w, "dead", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Path == "/apis" && !plain:
		w.Header().Set("Content-Type", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
		io.WriteString(w, farDiscovery)
	case r.URL.Path == "/openapi/v3":
		io.WriteString(w, `{"paths":{"version":{"serverRelativeURL":"/no"},"apis/far.example.com/v1":{"serverRelativeURL":"/openapi/v3/apis/far.example.com/v1?hash=H"}}}`)
	case r.URL.Path == "/openapi/v3/apis/far.example.com/v1":
		fmt.Fprintf(w, `{"openapi":"3.0.0","info":{"title":"far"},"hash":%q}`, r.URL.Query().Get("hash"))
	case r.URL.Path == "/openapi/v2":
		io.WriteString(w, `{"swagger":"2.0","info":{"title":"far","version":"1"},"paths":{"/apis/far.example.com/v1/things":{"get":{"responses":{"200":{"description":"OK","schema":{"$ref":"#/definitions/Thing"}}}}},"/version/":{}},"definitions":{"Thing":{"type":"object"}}}`)
	case r.URL.Path == "/apis":
		io.WriteString(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`)
	case r.URL.Path == farPath:
		io.WriteString(w, farResources)
	case r.URL.Query().Get("watch") != "":
		for i := range 3 {
			fmt.Fprintf(w, "{\"type\":\"ADDED\",\"n\":%d}\n", i)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	case r.Header.Get("Upgrade") == "echo":
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(conn, buf) //nolint:errcheck // until the client goes
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/x/things"):
		io.WriteString(w, `{"kind":"ThingList","apiVersion":"far.example.com/v1","metadata":{},"items":[{"kind":"Thing","apiVersion":"far.example.com/v1","metadata":{"name":"t1","namespace":"x"}}]}`)
	case r.Method == http.MethodDelete:
		io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Success"}`)
	case strings.HasSuffix(r.URL.Path, "/away"):
		http.Redirect(w, r, "https://elsewhere.example.com/", http.StatusFound)
	default:
		w.Header().Set("Audit-Id", "its-own")
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, `{"kind":"Thing","method":%q,"body":%q}`, r.Method, body)
	}
}

// await returns the APIService's condition once its reason is one.
func await(t *testing.T, h *Hub, name, reason string) apiregistrationv1.APIServiceCondition {
	t.Helper()
	ref := client.Ref{Resource: client.APIServices}
	opts := metav1.ListOptions{FieldSelector: "metadata.name=" + name, SendInitialEvents: ptr.To(true), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true}
	w, err := h.Own().Watch(t.Context(), ref, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for ev := range w.ResultChan() {
		s, ok := ev.Object.(*apiregistrationv1.APIService)
		if !ok || ev.Type == watch.Bookmark || ev.Type == watch.Deleted {
			continue
		}
		for _, c := range s.Status.Conditions {
			if c.Reason == reason {
				return c
			}
		}
	}
	t.Fatalf("%s never has the reason %s", name, reason)
	panic("not reached")
}

// awaitDiscovery waits until the aggregated document has a group with a freshness; "" is that it has none.
func awaitDiscovery(t *testing.T, h *Hub, group, freshness string) string {
	t.Helper()
	for {
		changed := h.catalog.Changed()
		a := expect(t, h, "200 GET /apis", "", "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
		for _, item := range dig(a.object(t), "items").([]any) {
			if dig(item.(map[string]any), "metadata.name") != group {
				continue
			}
			if versions, _ := json.Marshal(item); strings.Contains(string(versions), `"freshness":"`+freshness+`"`) && freshness != "" {
				return string(versions)
			}
			a.body = nil
		}
		if freshness == "" && a.body != nil {
			return ""
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("discovery of " + group + " does not become " + freshness)
		}
	}
}

func farObjects(ca []byte) (*corev1.Namespace, *corev1.Service, *discoveryv1.EndpointSlice, *apiregistrationv1.APIService) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ext"}}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ext", Name: "far"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "https", Port: 7443, Protocol: corev1.ProtocolTCP}}}}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ext", Name: "far-1", Labels: map[string]string{discoveryv1.LabelServiceName: "far"}}, AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"198.51.100.7"}}}, Ports: []discoveryv1.EndpointPort{{Name: ptr.To("other"), Port: ptr.To[int32](8443)}},
	}
	s := &apiregistrationv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: "v1.far.example.com"}, Spec: apiregistrationv1.APIServiceSpec{
		Group: "far.example.com", Version: "v1", GroupPriorityMinimum: 2000, VersionPriority: 15, CABundle: ca,
		Service: &apiregistrationv1.ServiceReference{Namespace: "ext", Name: "far", Port: ptr.To[int32](443)},
	}}
	return ns, svc, slice, s
}

// The availability of an APIService follows its Service, the endpoints and the server, in upstream's words, and requests are
// refused until it is there.
func TestAnAPIServiceBecomesAvailable(t *testing.T) {
	f := newFar(t)
	h := start(t, f.config(t))
	own := h.Own()
	ns, svc, slice, s := farObjects(f.ca.PEM())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	wantCondition := func(reason, message string) {
		t.Helper()
		c := await(t, h, s.Name, reason)
		if !strings.Contains(c.Message, message) || (c.Status == apiregistrationv1.ConditionTrue) != (reason == "Passed") {
			t.Errorf("%s: %s %q, want %q", reason, c.Status, c.Message, message)
		}
	}
	_, err := client.Create(t.Context(), own, client.APIServices, s)
	must(err)
	wantCondition("ServiceNotFound", `service/far in "ext" is not present`)
	if a := expect(t, h, "503 GET "+farPath+"/namespaces/x/things", ""); string(a.body) != "service unavailable\n" {
		t.Errorf("%q", a.body)
	}
	awaitDiscovery(t, h, "far.example.com", "Stale")
	_, err = client.Create(t.Context(), own, client.Namespaces, ns)
	must(err)
	svc, err = client.Create(t.Context(), own, client.Services, svc)
	must(err)
	wantCondition("ServicePortError", `service/far in "ext" is not listening on port 443`)
	svc = svc.DeepCopy()
	svc.Spec.Ports[0].Port = 443
	_, err = client.Update(t.Context(), own, client.Services, svc)
	must(err)
	wantCondition("EndpointsNotFound", `cannot find endpointslices for service/far in "ext"`)
	slice, err = client.Create(t.Context(), own, client.EndpointSlices, slice)
	must(err)
	wantCondition("MissingEndpoints", `endpointslices for service/far in "ext" have no addresses with port name "https"`)
	f.mu.Lock()
	f.mu.dead = true
	f.mu.Unlock()
	slice = slice.DeepCopy()
	slice.Ports[0].Name = ptr.To("https")
	_, err = client.Update(t.Context(), own, client.EndpointSlices, slice)
	must(err)
	wantCondition("FailedDiscoveryCheck", "failing or missing response from https://198.51.100.7:8443"+farPath+": bad status from https://198.51.100.7:8443"+farPath+": 500")
	f.mu.Lock()
	f.mu.dead = false
	f.mu.Unlock()
	wantCondition("Passed", "all checks passed")
	if doc := awaitDiscovery(t, h, "far.example.com", "Current"); !strings.Contains(doc, `"things"`) {
		t.Error(doc)
	}
	if a := expect(t, h, "200 GET /apis/far.example.com", ""); dig(a.object(t), "preferredVersion.version") != "v1" {
		t.Errorf("%s", a.body)
	}
	if a := expect(t, h, "200 GET /apis", ""); !strings.Contains(string(a.body), "far.example.com/v1") {
		t.Errorf("%s", a.body)
	}
	must(client.Delete(t.Context(), own, client.APIServices, "", s.Name, ""))
	awaitDiscovery(t, h, "far.example.com", "")
	expect(t, h, "404 GET "+farPath, "")
	expect(t, h, "404 GET "+farPath+"/namespaces/x/things", "")
}

// farHub is a hub with an API server elsewhere that is available.
func farHub(t *testing.T, change func(*far, *apiregistrationv1.APIService)) (*Hub, *far, *apiregistrationv1.APIService) {
	t.Helper()
	f := newFar(t)
	h := start(t, f.config(t))
	ns, svc, slice, s := farObjects(f.ca.PEM())
	svc.Spec.Ports[0].Port, slice.Ports[0].Name = 443, ptr.To("https")
	if change != nil {
		change(f, s)
	}
	_, err := client.Create(t.Context(), h.Own(), client.Namespaces, ns)
	if err == nil {
		_, err = client.Create(t.Context(), h.Own(), client.Services, svc)
	}
	if err == nil {
		_, err = client.Create(t.Context(), h.Own(), client.EndpointSlices, slice)
	}
	if err == nil {
		s, err = client.Create(t.Context(), h.Own(), client.APIServices, s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h, f, s
}

// What is asked of a group of somebody else's goes there whole, with the user as the hub knows it and nothing that the client says of it.
func TestRequestsGoToTheServerElsewhere(t *testing.T) {
	h, f, s := farHub(t, nil)
	await(t, h, s.Name, "Passed")
	awaitDiscovery(t, h, "far.example.com", "Current")
	a := expect(t, h, "200 POST "+farPath+"/namespaces/x/things?dryRun=All&x=a%2Fb", `{"a":1}`, "X-Remote-User: root", "X-Remote-Group: system:masters", "X-Remote-Extra-Foo: bar", "X-Forwarded-For: 1.2.3.4")
	if got := a.object(t); got["method"] != "POST" || got["body"] != `{"a":1}` {
		t.Errorf("%s", a.body)
	}
	if id := a.header.Values("Audit-Id"); len(id) != 1 || id[0] != "its-own" {
		t.Errorf("Audit-Id: %q", id)
	}
	f.mu.Lock()
	seen, path := f.mu.seen[len(f.mu.seen)-1], f.mu.path
	f.mu.Unlock()
	if path != farPath+"/namespaces/x/things?dryRun=All&x=a%2Fb" {
		t.Error(path)
	}
	for name, want := range map[string]string{"X-Remote-User": "admin", "X-Remote-Group": "system:masters,system:authenticated", "X-Remote-Extra-Foo": "", "Authorization": "", "X-Remote-Uid": ""} {
		if got := strings.Join(seen.Values(name), ","); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if strings.Contains(seen.Get("X-Forwarded-For"), "1.2.3.4") {
		t.Error("the client's own word about where it comes from is passed on")
	}
	expect(t, h, "403 GET "+farPath+"/namespaces/x/things", "", "X-User: ann")
	if a := expect(t, h, "502 GET "+farPath+"/namespaces/x/things/away", ""); a.header.Get("Location") != "" || !strings.Contains(string(a.body), "not permitted") {
		t.Errorf("%v %s", a.header, a.body)
	}
	if a := expect(t, h, "200 GET "+farPath, ""); !strings.Contains(string(a.body), "things") {
		t.Errorf("%s", a.body)
	}
	expect(t, h, "404 GET /apis/far.example.com/v2", "")
	expect(t, h, "404 GET /apis/far.example.com/v2/things", "")
	if a := expect(t, h, "200 GET /openapi/v3", ""); !strings.Contains(string(a.body), `"apis/far.example.com/v1":{"serverRelativeURL":"/openapi/v3/apis/far.example.com/v1?hash=H"}`) ||
		!strings.Contains(string(a.body), `"apis/apps/v1"`) || strings.Contains(string(a.body), `"/no"`) {
		t.Errorf("%s", a.body)
	}
	if a := expect(t, h, "200 GET /openapi/v3/apis/far.example.com/v1?hash=H", ""); !strings.Contains(string(a.body), `"title":"far"`) || !strings.Contains(string(a.body), `"hash":"H"`) {
		t.Errorf("%s", a.body)
	}
	if a := expect(t, h, "200 GET /openapi/v2", ""); !strings.Contains(string(a.body), `"/apis/far.example.com/v1/things"`) || !strings.Contains(string(a.body), `"Thing"`) || !strings.Contains(string(a.body), `"/apis/apps/v1/`) {
		t.Errorf("%d bytes", len(a.body))
	}
	expect(t, h, "200 GET /openapi/v2", "", "Accept: application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
	a = expect(t, h, "200 GET /metrics", "")
	for line := range strings.SplitSeq(string(a.body), "\n") {
		if strings.HasPrefix(line, "apiserver_request_total") && strings.Contains(line, "far.example.com") && !strings.Contains(line, `resource="things"`) && !strings.Contains(line, `resource=""`) {
			t.Errorf("a resource that the server does not have is a label: %s", line)
		}
	}
}

// Watches and upgraded connections go both ways as they come.
func TestStreamsGoToTheServerElsewhere(t *testing.T) {
	h, _, s := farHub(t, func(f *far, _ *apiregistrationv1.APIService) { f.mu.plain = true })
	await(t, h, s.Name, "Passed")
	if doc := awaitDiscovery(t, h, "far.example.com", "Current"); !strings.Contains(doc, `"subresource":"status"`) {
		t.Error(doc) // of a server that has no aggregated document
	}
	front := httptest.NewServer(h)
	defer front.Close()
	resp, err := http.Get(front.URL + farPath + "/things?watch=1")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	for i := range 3 {
		if !lines.Scan() || !strings.Contains(lines.Text(), fmt.Sprintf(`"n":%d`, i)) {
			t.Errorf("event %d: %q", i, lines.Text())
		}
	}
	resp.Body.Close()

	conn, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s/namespaces/x/things/t/anything HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", farPath)
	buf := bufio.NewReader(conn)
	upgraded, err := http.ReadResponse(buf, nil)
	if err != nil || upgraded.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(upgraded, err)
	}
	io.WriteString(conn, "hello\n")
	if line, err := buf.ReadString('\n'); line != "hello\n" {
		t.Errorf("%q %v", line, err)
	}
}

// A server whose certificate is not vouched for is not talked to, unless the APIService says that it may be anybody.
func TestTheServerElsewhereIsVerified(t *testing.T) {
	other, err := pki.NewAuthority("other")
	if err != nil {
		t.Fatal(err)
	}
	h, _, s := farHub(t, func(_ *far, s *apiregistrationv1.APIService) { s.Spec.CABundle = other.PEM() })
	if c := await(t, h, s.Name, "FailedDiscoveryCheck"); !strings.Contains(c.Message, "x509") {
		t.Error(c.Message)
	}
	patch := func(spec map[string]any) {
		t.Helper()
		if _, err := client.MergePatch(t.Context(), h.Own(), client.Ref{Resource: client.APIServices, Name: s.Name}, map[string]any{"spec": spec}); err != nil {
			t.Fatal(err)
		}
	}
	patch(map[string]any{"caBundle": nil, "insecureSkipTLSVerify": true})
	await(t, h, s.Name, "Passed")
	patch(map[string]any{"caBundle": []byte("garbage"), "insecureSkipTLSVerify": false})
	if c := await(t, h, s.Name, "FailedDiscoveryCheck"); !strings.Contains(c.Message, "unable to load root certificates") {
		t.Error(c.Message)
	}
}

// Clients in process are told what others serve, and list and delete there as themselves.
func TestClientsInProcessReachTheServerElsewhere(t *testing.T) {
	h, f, s := farHub(t, nil)
	await(t, h, s.Name, "Passed")
	awaitDiscovery(t, h, "far.example.com", "Current")
	door := h.Door(api.User{Name: "ann", Groups: []string{api.GroupMasters}}, "test")
	kinds, unknown := door.(client.Elsewhere).Elsewhere()
	if len(kinds) != 1 || kinds[0].Resource != "things" || !kinds[0].Namespaced || len(unknown) != 0 {
		t.Fatalf("%v %v", kinds, unknown)
	}
	ref := client.Ref{Resource: kinds[0].GVR(), Namespace: "x"}
	l, err := door.List(t.Context(), ref, metav1.ListOptions{})
	if err != nil || len(l.Items) != 1 || l.Items[0].GetName() != "t1" {
		t.Errorf("%+v %v", l, err)
	}
	ref.Name = "t1"
	if err := door.Delete(t.Context(), ref, metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	f.mu.Lock()
	seen := f.mu.seen[len(f.mu.seen)-1].Get("X-Remote-User") + " " + f.mu.path
	f.mu.Unlock()
	if seen != "ann "+farPath+"/namespaces/x/things/t1" {
		t.Error(seen)
	}
	if _, err := h.Door(api.User{Name: "bob"}, "test").List(t.Context(), ref, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("bob lists: %v", err)
	}
}

// A server that dies takes nothing else with it: what it served is still told of, as stale.
func TestADeadServerElsewhere(t *testing.T) {
	h, f, s := farHub(t, nil)
	await(t, h, s.Name, "Passed")
	awaitDiscovery(t, h, "far.example.com", "Current")
	f.mu.Lock()
	f.mu.dead = true
	f.mu.Unlock()
	// Something happens to its Service, so that it is looked at before half a minute is over.
	if _, err := client.MergePatch(t.Context(), h.Own(), client.Ref{Resource: client.Services, Namespace: "ext", Name: "far"}, map[string]any{"metadata": map[string]any{"labels": map[string]string{"a": "b"}}}); err != nil {
		t.Fatal(err)
	}
	await(t, h, s.Name, "FailedDiscoveryCheck")
	if doc := awaitDiscovery(t, h, "far.example.com", "Stale"); !strings.Contains(doc, `"things"`) {
		t.Error(doc)
	}
	expect(t, h, "503 GET "+farPath, "")
	expect(t, h, "200 GET /apis", "")
	expect(t, h, "200 GET /apis/apps/v1", "")
	table := expect(t, h, "200 GET /apis/apiregistration.k8s.io/v1/apiservices/"+s.Name, "", asTable)
	if cells := fmt.Sprint(dig(table.object(t), "rows").([]any)[0].(map[string]any)["cells"]); !strings.Contains(cells, "ext/far False (FailedDiscoveryCheck)") {
		t.Error(cells)
	}
}

// Every group version that is served from the start has its APIService, and those of kinds that come and go follow.
func TestLocalAPIServices(t *testing.T) {
	h := start(t, nil)
	want := map[string]bool{}
	for _, k := range h.cfg.Kinds.All() {
		if k.Group != apiregistrationv1.GroupName {
			want[k.Version+"."+k.Group] = true
		}
	}
	all, err := client.ListAll[*apiregistrationv1.APIService](t.Context(), h.Own(), client.APIServices, "", metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if !want[s.Name] || s.Labels["kube-aggregator.kubernetes.io/automanaged"] != "onstart" || len(s.Status.Conditions) != 1 || s.Status.Conditions[0].Reason != "Local" {
			t.Errorf("%s: %v %v", s.Name, s.Labels, s.Status)
		}
		delete(want, s.Name)
	}
	if len(want) > 0 {
		t.Errorf("there is none for %v", want)
	}
}
