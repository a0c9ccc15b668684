//go:build e2e

package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// caller speaks to the API server as somebody.
type caller struct {
	t    *testing.T
	host string
	http http.RoundTripper
}

func newCaller(t *testing.T, cfg *rest.Config) *caller {
	t.Helper()
	cfg.NextProtos = []string{"http/1.1"} // a stream's upgrade is asked for over it
	rt, err := rest.TransportFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &caller{t, cfg.Host, rt}
}

// call makes one request; body is sent as JSON when there is one. Headers are "Name: value".
func (c *caller) call(method, path string, body any, headers ...string) (int, []byte) {
	c.t.Helper()
	var data []byte
	if body != nil {
		data, _ = json.Marshal(body)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.host+path, bytes.NewReader(data))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if method == "PATCH" {
		r.Header.Set("Content-Type", "application/merge-patch+json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := c.http.RoundTrip(r)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return res.StatusCode, nil
	}
	out, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, out
}

// must is call for what has to work.
func (c *caller) must(method, path string, body any) []byte {
	c.t.Helper()
	code, out := c.call(method, path, body)
	if code >= 300 {
		c.t.Fatalf("%s %s: %d %s", method, path, code, out)
	}
	return out
}

// ask makes a certificate request of a node and returns its name and key.
func (c *caller) ask(node, signer string, usage certificatesv1.KeyUsage, names []string, ips []net.IP) (string, *ecdsa.PrivateKey) {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}}, DNSNames: names, IPAddresses: ips,
	}, key)
	if err != nil {
		c.t.Fatal(err)
	}
	csr := certificatesv1.CertificateSigningRequest{
		TypeMeta: metav1.TypeMeta{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequest"}, ObjectMeta: metav1.ObjectMeta{GenerateName: "attack-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{SignerName: signer, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, usage},
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})},
	}
	var made certificatesv1.CertificateSigningRequest
	if err := json.Unmarshal(c.must("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", csr), &made); err != nil {
		c.t.Fatal(err)
	}
	return made.Name, key
}

func (c *caller) issued(name string) []byte {
	c.t.Helper()
	var csr certificatesv1.CertificateSigningRequest
	if err := json.Unmarshal(c.must("GET", "/apis/certificates.k8s.io/v1/certificatesigningrequests/"+name, nil), &csr); err != nil {
		c.t.Fatal(err)
	}
	return csr.Status.Certificate
}

// steal joins as a node, as somebody who has a join token or a node's files can, and returns its credential.
func steal(t *testing.T, c *cluster, node string) (admin, thief *caller) {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	admin = newCaller(t, cfg)
	printed, err := c.sampan("token", "--data-dir", c.dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	_, token, _ := strings.Cut(strings.Fields(printed)[5], "::")
	join := rest.AnonymousClientConfig(cfg)
	join.BearerToken = token
	name, key := newCaller(t, join).ask(node, certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.UsageClientAuth, nil, nil)
	var cert []byte
	until(t, 30*time.Second, "node's certificate", func() error {
		if cert = admin.issued(name); len(cert) == 0 {
			return fmt.Errorf("request %s has none", name)
		}
		return nil
	})
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	as := rest.AnonymousClientConfig(cfg)
	as.CertData, as.KeyData = cert, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	return admin, newCaller(t, as)
}

// TestAStolenNode has a node's credential try what leads from one node to the cluster: certificates for names and addresses that
// are not its own, and the hub led to its own door. An administrator then opens every path that makes the hub connect.
func TestAStolenNode(t *testing.T) {
	c := newCluster(t, "--no-node")
	_, etcd, _ := strings.Cut(c.up(t), "clients at 127.0.0.1:")
	etcd, _, _ = strings.Cut(etcd, "\n")
	admin, thief := steal(t, c, "thief")
	thief.must("POST", "/api/v1/nodes", map[string]any{"metadata": map[string]any{"name": "thief"}})
	if code, _ := thief.call("GET", "/api/v1/nodes", nil); code != http.StatusForbidden {
		t.Errorf("a node lists all nodes: %d", code)
	}
	own, err := clientcmd.LoadFromFile(c.kubeconfig)
	if err != nil || len(own.Clusters) != 1 {
		t.Fatal(err)
	}
	var slice struct {
		Endpoints []struct{ Addresses []string }
	}
	if err := json.Unmarshal(admin.must("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes", nil), &slice); err != nil {
		t.Fatal(err)
	}
	var svc struct{ Spec struct{ ClusterIP string } }
	if err := json.Unmarshal(admin.must("GET", "/api/v1/namespaces/default/services/kubernetes", nil), &svc); err != nil {
		t.Fatal(err)
	}
	hub := slice.Endpoints[0].Addresses[0]
	addresses := []string{hub, svc.Spec.ClusterIP, "127.0.0.1", "127.0.1.1", "0.0.0.0", "::1", "::", "::ffff:" + hub, "::ffff:127.0.0.1", "64:ff9b::" + hub, "169.254.169.254", "fe80::1", "224.0.0.1",
		"localhost", "localhost.", "2130706433", "0x7f000001", "0177.0.0.1", "127.1"}

	t.Run("certificates", func(t *testing.T) { stolenCertificates(t, admin, thief, addresses) })
	t.Run("connections", func(t *testing.T) { stolenConnections(t, []string{c.port, etcd}, admin, thief, addresses) })
	t.Run("readers", func(t *testing.T) { readersOpenNothing(t, admin) })
}

func stolenCertificates(t *testing.T, admin, thief *caller, addresses []string) {
	var claims []map[string]string
	names := []string{"kubernetes", "kubernetes.default.svc", "KUBERNETES.DEFAULT.SVC", "kubernetes.default.svc.", "kubernetes.default.svc.cluster.local", "*.svc", "*.default.svc.cluster.local", "*",
		"web.default.svc", "cluster.local", "xn--thief-abc", "other-node", "thief.", "Thief"}
	names = append(names, addresses...)
	for _, a := range names {
		for _, kind := range []string{"InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS"} {
			claims = append(claims, map[string]string{"type": kind, "address": a})
		}
	}
	thief.must("PATCH", "/api/v1/nodes/thief/status", map[string]any{"status": map[string]any{"addresses": claims}})
	var asked []string
	serving := func(names []string, ips []net.IP) string {
		name, _ := thief.ask("thief", certificatesv1.KubeletServingSignerName, certificatesv1.UsageServerAuth, names, ips)
		return name
	}
	for _, n := range names {
		asked = append(asked, serving([]string{n}, nil), serving([]string{"thief", n}, nil))
		if ip := net.ParseIP(n); ip != nil {
			asked = append(asked, serving(nil, []net.IP{ip}), serving([]string{"thief"}, []net.IP{ip.To16()}))
		}
	}
	good := serving([]string{"thief"}, nil) // asked last: the others have been looked at when it is issued
	until(t, 30*time.Second, "the node's own certificate", func() error {
		if len(admin.issued(good)) == 0 {
			return fmt.Errorf("%s is not issued", good)
		}
		return nil
	})
	time.Sleep(time.Second) // workers take requests in turn, the slowest included
	for _, name := range asked {
		if cert := admin.issued(name); len(cert) > 0 {
			block, _ := pem.Decode(cert)
			leaf, _ := x509.ParseCertificate(block.Bytes)
			t.Errorf("issued: %v %v", leaf.DNSNames, leaf.IPAddresses)
		}
	}
	t.Logf("%d requests, 0 wanted", len(asked))
}

func stolenConnections(t *testing.T, ports []string, admin, thief *caller, addresses []string) {
	pod := map[string]any{"metadata": map[string]any{"name": "p", "labels": map[string]any{"app": "p"}}, "spec": map[string]any{"nodeName": "thief",
		"containers": []any{map[string]any{"name": "c", "image": "x", "ports": []any{map[string]any{"containerPort": 6443}}}}}}
	until(t, 30*time.Second, "default service account", func() error {
		if code, out := admin.call("POST", "/api/v1/namespaces/default/pods", pod); code != http.StatusCreated {
			return fmt.Errorf("%d %s", code, out)
		}
		return nil
	})
	spdy := []string{"Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io"}
	websocket := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: v4.channel.k8s.io"}
	tried := 0
	for _, address := range addresses {
		for _, port := range ports {
			var number int
			fmt.Sscan(port, &number)
			thief.must("PATCH", "/api/v1/nodes/thief/status", map[string]any{"status": map[string]any{
				"addresses": []any{map[string]any{"type": "InternalIP", "address": address}, map[string]any{"type": "Hostname", "address": address}}, "daemonEndpoints": map[string]any{"kubeletEndpoint": map[string]any{"Port": number}}}})
			// The address of a pod has to be one; else it stays as it was.
			isPod := false
			if code, _ := thief.call("PATCH", "/api/v1/namespaces/default/pods/p/status", map[string]any{"status": map[string]any{"podIP": address, "podIPs": []any{map[string]any{"ip": address}}}}); code == http.StatusOK {
				isPod = true
			}
			refused := func(method, path string, headers ...string) {
				t.Helper()
				tried++
				code, out := admin.call(method, path, nil, headers...)
				unknown := strings.HasSuffix(address, ".") && strings.Contains(string(out), "no such host") // as the machine's resolver has it
				if !unknown && (code != http.StatusBadRequest || !strings.Contains(string(out), "address not allowed")) {
					t.Errorf("at %s port %s: %s %s %v: %d %.200s", address, port, method, path, headers, code, out)
				}
			}
			const p = "/api/v1/namespaces/default/pods/p"
			refused("GET", p+"/log")
			refused("GET", p+"/log?insecureSkipTLSVerifyBackend=true&follow=true")
			for _, headers := range [][]string{spdy, websocket} {
				refused("GET", p+"/exec?command=id&stdout=1", headers...)
				refused("GET", p+"/attach?stdout=1", headers...)
				refused("GET", p+"/portforward?ports=80", headers...)
			}
			refused("POST", p+"/exec?command=id&stdout=1", spdy...)
			for _, node := range []string{"thief", "thief:" + port, "https:thief:" + port, "http:thief:" + port} {
				refused("GET", "/api/v1/nodes/"+node+"/proxy/api/v1/secrets")
				refused("GET", "/api/v1/nodes/"+node+"/proxy/exec/default/p/c?command=id", spdy...)
			}
			if isPod {
				for _, name := range []string{"p:" + port, "https:p:" + port} {
					refused("GET", "/api/v1/namespaces/default/pods/"+name+"/proxy/api/v1/secrets")
				}
			}
		}
	}
	t.Logf("%d tries, all refused before a connection was made", tried)
}

// readersOpenNothing asks for streams with the right to read alone.
func readersOpenNothing(t *testing.T, admin *caller) {
	admin.must("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", map[string]any{"metadata": map[string]any{"name": "reader"}, "rules": []any{map[string]any{
		"apiGroups": []string{""}, "resources": []string{"pods", "pods/exec", "pods/attach", "pods/portforward", "nodes/proxy"}, "verbs": []string{"get", "list", "watch"}}}})
	admin.must("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", map[string]any{"metadata": map[string]any{"name": "reader"},
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
		"subjects": []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "reader"}}})
	const as = "Impersonate-User: reader"
	until(t, 30*time.Second, "the role to count", func() error {
		if code, out := admin.call("GET", "/api/v1/namespaces/default/pods", nil, as); code != 200 {
			return fmt.Errorf("%d %s", code, out)
		}
		return nil
	})
	for _, path := range []string{"/api/v1/namespaces/default/pods/p/exec?command=id&stdout=1", "/api/v1/namespaces/default/pods/p/attach?stdout=1", "/api/v1/namespaces/default/pods/p/portforward?ports=80",
		"/api/v1/nodes/thief/proxy/exec/default/p/c?command=id", "/api/v1/nodes/thief/proxy/run/default/p/c?cmd=id", "/api/v1/nodes/thief/proxy/portForward/default/p", "/api/v1/nodes/thief/proxy/attach/default/p/c"} {
		for _, method := range []string{"GET", "POST"} {
			for _, upgrade := range []string{"SPDY/3.1", "websocket", ""} {
				if code, out := admin.call(method, path, nil, as, "Connection: Upgrade", "Upgrade: "+upgrade); code != http.StatusForbidden {
					t.Errorf("%s %s over %q: %d %.200s", method, path, upgrade, code, out)
				}
			}
		}
	}
}
