//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cloud is a file provider's folder, with a cloud-controller-manager that serves it.
type cloud struct {
	*cluster
	t       *testing.T
	dir     string
	manager *exec.Cmd
}

func (c *cloud) write(text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, "cloud.yaml"), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// begin runs the program under upstream's name, until the test ends.
func (c *cloud) begin() {
	c.t.Helper()
	name := filepath.Join(c.dir, "cloud-controller-manager")
	if err := os.Symlink(filepath.Join(c.bin, "sampan"), name); err != nil {
		c.t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(c.dir, "log"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.manager = exec.Command(name, "--kubeconfig", c.kubeconfig, "--cloud-provider=file", "--cloud-config", filepath.Join(c.dir, "cloud.yaml"),
		"--controllers=*", "--secure-port=0", "--allocate-node-cidrs", "--cluster-cidr", "10.0.0.0/8", "--enable-leader-migration")
	c.manager.Stdout, c.manager.Stderr = log, log
	if err := c.manager.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = c.manager.Process.Signal(syscall.SIGTERM)
		_ = c.manager.Wait()
		if text, _ := os.ReadFile(log.Name()); c.t.Failed() {
			c.t.Logf("cloud-controller-manager:\n%s", text)
		}
	})
}

// until waits for what kubectl prints to contain a text.
func (c *cloud) until(want string, args ...string) {
	c.t.Helper()
	var out string
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		text, _ := exec.Command(filepath.Join(c.bin, "kubectl"), append([]string{"--kubeconfig", c.kubeconfig}, args...)...).CombinedOutput()
		if out = string(text); strings.Contains(out, want) {
			return
		}
	}
	c.t.Fatalf("kubectl %s: %s\nnot within a minute: %s", strings.Join(args, " "), out, want)
}

func (c *cloud) file(name, want string) {
	c.t.Helper()
	var text []byte
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if text, _ = os.ReadFile(filepath.Join(c.dir, name)); strings.Contains(string(text), want) {
			return
		}
	}
	c.t.Fatalf("%s: %s\nhas not %s within a minute", name, text, want)
}

const uninitialized = "node.cloudprovider.kubernetes.io/uninitialized"

// A node waits for its cloud, is told what it is, has a route and a balancer before it, and goes when its machine goes; the cloud is
// a file that is edited, and what serves it is a program of its own.
func TestCloud(t *testing.T) {
	c := &cloud{cluster: start(t, "--cloud-provider=external"), t: t, dir: t.TempDir()}
	c.until(uninitialized+"=true:NoSchedule", "describe", "nodes")
	node := strings.TrimSpace(c.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"))
	address := strings.TrimSpace(c.kubectl(t, "get", "nodes", "-o", `jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`))
	here := "- name: " + node + "\n  providerID: rack://7/" + node + "\n  instanceType: metal.large\n  zone: rack-7\n  region: home\n" +
		"  addresses: [{type: InternalIP, address: " + address + "}, {type: ExternalIP, address: 203.0.113.7}, {type: ExternalDNS, address: seven.example.com}]\n"
	const rest = "balancers: {addresses: [203.0.113.16/30]}\n"
	c.write("machines:\n" + here + rest + "routes: {limit: 0}\n")
	c.begin()

	c.until("203.0.113.7", "get", "nodes", "-o", "wide")
	c.until("rack://7/"+node, "get", "node", node, "-o", "jsonpath={.spec.providerID}")
	for label, value := range map[string]string{"node.kubernetes.io/instance-type": "metal.large", "topology.kubernetes.io/zone": "rack-7", "topology.kubernetes.io/region": "home"} {
		c.until(value, "get", "nodes", "-L", label)
	}
	if text := c.kubectl(t, "describe", "nodes"); strings.Contains(text, uninitialized) || !strings.Contains(text, "seven.example.com") {
		t.Errorf("the node is not what its cloud says:\n%s", text)
	}
	c.until("Node synced successfully", "get", "events")

	// Without room for a route the node says so and takes no pods, and then it does.
	const condition = `jsonpath={.status.conditions[?(@.type=="NetworkUnavailable")]}`
	c.until(`"reason":"NoRouteCreated","status":"True"`, "get", "node", node, "-o", condition)
	c.until("node.kubernetes.io/network-unavailable", "get", "node", node, "-o", "jsonpath={.spec.taints}")
	c.write("machines:\n" + here + rest)
	c.until(`"reason":"RouteCreated","status":"False"`, "get", "node", node, "-o", condition)
	c.file("routes.json", `"targetNode": "`+node+`"`)

	// A balancer gets a declared address; its nodes are told; it goes with its service.
	c.kubectl(t, "create", "service", "loadbalancer", "web", "--tcp=80:8080")
	c.until("203.0.113.17", "get", "service", "web")
	c.file("balancers.json", `"name": "`+node+`"`)
	c.kubectl(t, "delete", "service", "web", "--timeout=300s")
	c.file("balancers.json", "[]")

	// A machine that is shut down, and one that is gone.
	c.kubectl(t, "create", "-f", c.manifest("apiVersion: v1\nkind: Node\nmetadata: {name: other}\n"))
	c.write("machines:\n" + here + "- {name: other, shutdown: true}\n" + rest)
	c.until("node.cloudprovider.kubernetes.io/shutdown", "get", "node", "other", "-o", "jsonpath={.spec.taints}")
	c.write("machines:\n" + here + rest)
	c.until("Deleting node other because it does not exist in the cloud provider", "get", "events")
	c.until("NotFound", "get", "node", "other")
	if text := c.kubectl(t, "get", "leases", "-n", "kube-system"); !strings.Contains(text, "cloud-controller-manager") || !strings.Contains(text, "cloud-provider-extraction-migration") {
		t.Errorf("leases:\n%s", text)
	}
}

func (c *cloud) manifest(text string) string {
	c.t.Helper()
	path := filepath.Join(c.t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}
