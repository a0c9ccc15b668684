//go:build e2e

package e2e

import (
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStockCloud has a cloud controller manager of somebody else's be the cloud of a cluster: the sample of k8s.io/cloud-provider, which
// stockccm.sh builds.
func TestStockCloud(t *testing.T) {
	program := os.Getenv("SAMPAN_STOCKCCM")
	if program == "" {
		t.Skip("SAMPAN_STOCKCCM names no program; e2e/stockccm.sh builds one")
	}
	c := &cloud{cluster: start(t, "--cloud-provider=external"), t: t, dir: t.TempDir()}
	c.until(uninitialized+"=true:NoSchedule", "describe", "nodes")
	node := strings.TrimSpace(c.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"))
	log, err := os.Create(filepath.Join(c.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	port := freePort(t)
	manager := exec.Command(program, "--kubeconfig", c.kubeconfig, "--authentication-kubeconfig", c.kubeconfig, "--authorization-kubeconfig", c.kubeconfig,
		"--cloud-provider=lab", "--controllers=*", "--bind-address=127.0.0.1", "--secure-port="+port, "--cert-dir", c.dir,
		"--allocate-node-cidrs", "--cluster-cidr", "10.0.0.0/8", "--route-reconciliation-period=2s", "--node-monitor-period=2s", "-v=2")
	manager.Stdout, manager.Stderr = log, log
	if err := manager.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = manager.Process.Signal(syscall.SIGTERM)
		_ = manager.Wait()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("the program says:\n%s", text[max(0, len(text)-8000):])
		}
	})

	c.until("lab://"+node, "get", "node", node, "-o", "jsonpath={.spec.providerID}")
	c.until("203.0.113.7", "get", "nodes", "-o", "wide")
	for label, value := range map[string]string{"node.kubernetes.io/instance-type": "lab.large", "topology.kubernetes.io/zone": "lab-1a", "topology.kubernetes.io/region": "lab-1"} {
		c.until(value, "get", "nodes", "-L", label)
	}
	c.until("Node synced successfully", "get", "events")
	if text := c.kubectl(t, "describe", "nodes"); strings.Contains(text, uninitialized) {
		t.Errorf("the node still waits for its cloud:\n%s", text)
	}
	c.until(`"reason":"RouteCreated","status":"False"`, "get", "node", node, "-o", `jsonpath={.status.conditions[?(@.type=="NetworkUnavailable")]}`)

	c.kubectl(t, "create", "service", "loadbalancer", "web", "--tcp=80:8080")
	c.until("203.0.113.17", "get", "service", "web")
	c.until("service.kubernetes.io/load-balancer-cleanup", "get", "service", "web", "-o", "jsonpath={.metadata.finalizers}")
	c.until("Ensured load balancer", "get", "events", "--field-selector", "involvedObject.name=web")
	c.kubectl(t, "delete", "service", "web", "--timeout=300s")

	c.kubectl(t, "create", "-f", c.manifest("apiVersion: v1\nkind: Node\nmetadata: {name: off-1}\n"))
	c.until("node.cloudprovider.kubernetes.io/shutdown", "get", "node", "off-1", "-o", "jsonpath={.spec.taints}")
	c.kubectl(t, "create", "-f", c.manifest("apiVersion: v1\nkind: Node\nmetadata: {name: gone-1}\n"))
	c.until("NotFound", "get", "node", "gone-1")
	c.until("DeletingNode", "get", "events", "--field-selector", "involvedObject.name=gone-1")
	if text := c.kubectl(t, "get", "leases", "-n", "kube-system"); !strings.Contains(text, "cloud-controller-manager") {
		t.Errorf("leases:\n%s", text)
	}

	// Its metrics are for those whom the API server lets: it asks by TokenReview and SubjectAccessReview.
	c.kubectl(t, "create", "serviceaccount", "reader")
	c.kubectl(t, "create", "clusterrole", "metrics-reader", "--verb=get", "--non-resource-url=/metrics")
	c.kubectl(t, "create", "clusterrolebinding", "metrics-reader", "--clusterrole=metrics-reader", "--serviceaccount=default:reader")
	token := strings.TrimSpace(c.kubectl(t, "create", "token", "reader"))
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	get := func(token string) (int, string) {
		r, err := http.NewRequest("GET", "https://127.0.0.1:"+port+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	if code, text := get(token); code != 200 || !strings.Contains(text, "service_controller_loadbalancer_sync_total") {
		t.Errorf("its metrics: %d", code)
	}
	if code, _ := get(""); code != 403 && code != 401 {
		t.Errorf("its metrics without a token: %d", code)
	}
}
