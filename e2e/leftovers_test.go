//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
)

// TestLeftovers prints what could be left of a cluster on the machine before, and after down, and after a crash and purge.
func TestLeftovers(t *testing.T) {
	c := newCluster(t, "--nodes", "2")
	before := machine(t, c)
	t.Logf("%s", c.up(t))
	c.images(t)
	c.imagesOfNode(t, 2)
	hostPort, nodePort := freePort(t), "31783"
	c.kubectlIn(t, strings.NewReplacer("HOSTPORT", hostPort, "NODEPORT", nodePort).Replace(leftoversManifest), "apply", "-f", "-")
	c.settled(t, nodePort, hostPort)
	seen(t, before, machine(t, c))

	ready := c.readySince(t)
	c.down(t)
	same(t, "down", before, machine(t, c))

	c.up(t)
	c.settled(t, nodePort, hostPort)
	if now := c.readySince(t); now != ready {
		t.Errorf("the nodes were Ready since %s and are since %s: starting made them NotReady", ready, now)
	}
	c.kill(t)
	c.killRuntime(t)
	if out, err := c.sampan("purge", "--yes", "--data-dir", c.dir); err != nil {
		t.Fatalf("purge: %v\n%s", err, out)
	}
	same(t, "a crash and purge", before, machine(t, c))
	run(t, "test", "!", "-e", c.dir)
}

// TestSeparateLeavesNothing does so with a node that is a process of its own, and kills both processes before they are to be purged.
func TestSeparateLeavesNothing(t *testing.T) {
	c := newCluster(t, "--separate")
	before := machine(t, c)
	t.Logf("%s", c.up(t))
	c.images(t)
	c.kubectl(t, "create", "deployment", "web", "--image=sampan.dev/busybox:1", "--", "sleep", "1000000")
	c.kubectl(t, "rollout", "status", "deployment/web", "--timeout=300s")
	c.down(t)
	same(t, "down", before, machine(t, c))

	c.up(t)
	c.kubectl(t, "rollout", "status", "deployment/web", "--timeout=300s")
	c.kill(t)
	c.killHolder(t, "node.pid")
	c.killRuntime(t)
	if out, err := c.sampan("purge", "--yes", "--data-dir", c.dir); err != nil {
		t.Fatalf("purge: %v\n%s", err, out)
	}
	same(t, "a crash of both and purge", before, machine(t, c))
	run(t, "test", "!", "-e", c.dir)
}

// killRuntime kills the first node's containerd; its containers live on.
func (c *cluster) killRuntime(t *testing.T) {
	t.Helper()
	pid, err := os.ReadFile("/run/sampan-" + c.instance() + "/containerd/containerd.pid")
	if err != nil {
		t.Fatal(err)
	}
	run(t, "kill", "-9", strings.TrimSpace(string(pid)))
}

// settled waits until the workload runs on both nodes and answers by every way.
func (c *cluster) settled(t *testing.T, nodePort, hostPort string) {
	t.Helper()
	c.kubectl(t, "wait", "nodes", "--all", "--for=condition=Ready", "--timeout=300s")
	c.kubectl(t, "-n", "left", "rollout", "status", "deployment/web", "--timeout=300s")
	c.kubectl(t, "-n", "left", "wait", "pod", "--all", "--for=condition=Ready", "--timeout=300s")
	for _, port := range []string{nodePort, hostPort} {
		until(t, 20*time.Second, "an answer at port "+port, func() error {
			r, err := (&http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + nodeIP(t, c) + ":" + port + "/greeting")
			if err != nil {
				return err
			}
			defer r.Body.Close()
			if r.StatusCode != http.StatusOK {
				return errors.New(r.Status)
			}
			return nil
		})
	}
}

// readySince is when each node became Ready.
func (c *cluster) readySince(t *testing.T) string {
	t.Helper()
	return c.kubectl(t, "get", "nodes", "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].lastTransitionTime} {end}`)
}

func nodeIP(t *testing.T, c *cluster) string {
	t.Helper()
	return c.kubectl(t, "get", "pod", "-n", "left", "keeper", "-o", "jsonpath={.status.hostIP}")
}

// imagesOfNode copies the images of the first node to a further one.
func (c *cluster) imagesOfNode(t *testing.T, index int) {
	t.Helper()
	further := *c
	further.dir = fmt.Sprintf("%s/nodes/%d", c.dir, index)
	further.images(t)
}

// machine is what machine.sh prints without the clusters of others, and the packet filter's tables, which need no tool.
func machine(t *testing.T, c *cluster) string {
	t.Helper()
	out, err := exec.Command("./machine.sh", c.dir).Output()
	if err != nil {
		t.Fatalf("machine.sh: %v", err)
	}
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	text := string(out) + "# tables\n"
	for _, table := range tables {
		if strings.HasSuffix(table.Name, c.instance()) || !otherTable.MatchString(table.Name) {
			text += table.Name + "\n"
		}
	}
	return text
}

// otherTable is the name of a table of another cluster: in some data directory, or in the default one.
var otherTable = regexp.MustCompile(`-[0-9a-f]{8}$|^(kube-proxy|sampan-network)$`)

// seen checks that the prints tell a running cluster in every section: an empty difference would mean little otherwise.
func seen(t *testing.T, before, running string) {
	t.Helper()
	had, has := sections(before), sections(running)
	for name := range has {
		if name == "nft" || name == "rules" {
			continue // the tool may be missing, see "tables"; none are made
		}
		if had[name] == has[name] {
			t.Errorf("a running cluster is not seen in section %q:\n%s", name, has[name])
		}
	}
}

// sections are the parts of a print by their names.
func sections(print string) map[string]string {
	out := map[string]string{}
	for _, part := range strings.Split("\n"+print, "\n# ")[1:] {
		name, lines, _ := strings.Cut(part, "\n")
		out[name] = lines
	}
	return out
}

// same fails with the lines that only one of the prints has.
func same(t *testing.T, when, before, after string) {
	t.Helper()
	if before == after {
		return
	}
	var text strings.Builder
	for _, d := range []struct{ sign, in, notIn string }{{"-", before, after}, {"+", after, before}} {
		section := ""
		for line := range strings.Lines(d.in) {
			if strings.HasPrefix(line, "#") {
				section = strings.TrimSpace(line)
			}
			if !strings.Contains("\n"+d.notIn, "\n"+line) {
				fmt.Fprintf(&text, "%s %s: %s", d.sign, section, line)
			}
		}
	}
	t.Errorf("after %s the machine is not what it was:\n%s", when, text.String())
}

const leftoversManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: left}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: greeting, namespace: left}
data: {greeting: hello}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: left}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: sampan.dev/busybox:1
        command: [httpd, -f, -p, '8080', -h, /www]
        resources: {requests: {cpu: 10m, memory: 8Mi}, limits: {memory: 64Mi}}
        readinessProbe: {httpGet: {port: 8080, path: /greeting}, periodSeconds: 1}
        volumeMounts:
        - {name: greeting, mountPath: /www}
        - {name: memory, mountPath: /memory}
        - {name: greeting, mountPath: /one/greeting, subPath: greeting}
        - {name: memory, mountPath: /part, subPath: some/part}
      volumes:
      - {name: greeting, configMap: {name: greeting}}
      - {name: memory, emptyDir: {medium: Memory, sizeLimit: 4Mi}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: left}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: NODEPORT}]
---
apiVersion: v1
kind: Pod
metadata: {name: keeper, namespace: left}
spec:
  terminationGracePeriodSeconds: 1
  hostname: keeper
  containers:
  - name: web
    image: sampan.dev/busybox:1
    command: [httpd, -f, -p, '8080', -h, /www]
    ports: [{containerPort: 8080, hostPort: HOSTPORT}]
    volumeMounts:
    - {name: greeting, mountPath: /www}
    - {name: scratch, mountPath: /scratch}
  volumes:
  - {name: greeting, configMap: {name: greeting}}
  - {name: scratch, emptyDir: {}}
`
