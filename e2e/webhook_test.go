//go:build e2e

package e2e

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"sampan.dev/internal/pki"

	admissionv1 "k8s.io/api/admission/v1"
)

// TestWebhooks has this process answer for webhooks, by URL on loopback and behind a Service whose endpoint is the node: what they
// say is what kubectl gets.
func TestWebhooks(t *testing.T) {
	c := newCluster(t)
	c.up(t)
	node := strings.TrimSpace(c.kubectl(t, "get", "nodes", "-o", `jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`))
	var asked atomic.Int32
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var review admissionv1.AdmissionReview
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &review)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: !strings.Contains(review.Request.Name, "bad")}
		if r.URL.Path == "/mutate" && out.Allowed {
			out.Patch, out.PatchType = []byte(`[{"op":"add","path":"/metadata/labels","value":{"seen":"yes"}}]`), new(admissionv1.PatchTypeJSONPatch)
		}
		review.Request, review.Response = nil, out
		_ = json.NewEncoder(w).Encode(review)
	})
	serve := func(at, name string) (*httptest.Server, []byte) {
		pair, err := pki.SelfSigned(name)
		if err != nil {
			t.Fatal(err)
		}
		cert, _, err := pair.PEM()
		if err != nil {
			t.Fatal(err)
		}
		own, err := pair.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", net.JoinHostPort(at, "0"))
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(answer)
		s.Listener.Close()
		s.Listener, s.TLS = l, pki.ServerTLS(pair)
		s.TLS.Certificates = []tls.Certificate{*own} // else it would show one of its own to who names no host
		s.StartTLS()
		t.Cleanup(s.Close)
		return s, cert
	}
	hook := func(kind, client string, cert []byte) string {
		return fmt.Sprintf(`{"apiVersion":"admissionregistration.k8s.io/v1","kind":"%sWebhookConfiguration","metadata":{"name":"e2e"},"webhooks":[{"name":"w.e2e.sampan.dev","sideEffects":"None","admissionReviewVersions":["v1"],
"clientConfig":{%s,"caBundle":%q},"rules":[{"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["configmaps"]}]}]}`, kind, client, base64.StdEncoding.EncodeToString(cert))
	}
	local, cert := serve("127.0.0.1", "webhook")
	c.kubectlIn(t, hook("Mutating", fmt.Sprintf(`"url":%q`, local.URL+"/mutate"), cert), "apply", "-f", "-")
	served, cert := serve(node, "e2e.default.svc")
	_, port, _ := net.SplitHostPort(served.Listener.Addr().String())
	c.kubectlIn(t, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: e2e}
spec: {ports: [{port: 443, targetPort: %[2]s}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: e2e, labels: {kubernetes.io/service-name: e2e}}
addressType: IPv4
ports: [{port: %[2]s}]
endpoints: [{addresses: [%[1]s]}]
`, node, port), "apply", "-f", "-")
	c.kubectlIn(t, hook("Validating", `"service":{"namespace":"default","name":"e2e","path":"/validate"}`, cert), "apply", "-f", "-")

	c.kubectl(t, "create", "configmap", "good")
	if got := c.kubectl(t, "get", "configmap", "good", "-o", "jsonpath={.metadata.labels.seen}"); got != "yes" {
		t.Errorf("the mutating webhook changed nothing: %q", got)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	served.Close()
	out, err := exec.Command(filepath.Join(c.bin, "kubectl"), "--kubeconfig", c.kubeconfig, "create", "configmap", "other").CombinedOutput()
	if err == nil || !strings.Contains(string(out), `failed calling webhook "w.e2e.sampan.dev": failed to call webhook: Post "https://e2e.default.svc:443/validate?timeout=10s"`) {
		t.Errorf("with the webhook gone: %v %s", err, out)
	}
	c.kubectl(t, "delete", "validatingwebhookconfiguration", "e2e")
	out, err = exec.Command(filepath.Join(c.bin, "kubectl"), "--kubeconfig", c.kubeconfig, "create", "configmap", "bad").CombinedOutput()
	if err == nil || !strings.Contains(string(out), `admission webhook "w.e2e.sampan.dev" denied the request without explanation`) {
		t.Errorf("refused: %v %s", err, out)
	}
}
