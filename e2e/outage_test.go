//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// outage is how long the control plane is away; SAMPAN_E2E_OUTAGE sets another time.
const outage = 45 * time.Second

var nodeLeases = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}

// TestOutage stops the control plane and leaves a node alone with fifty pods: one on another machine, and one that `up --separate` runs
// beside it in a process of its own. What runs on the node goes on: pods reach the Service by its name, a container that ends is
// started again, one that fails its probe is too. When the control plane is back, nothing has been evicted and the node reports.
func TestOutage(t *testing.T) {
	t.Parallel() // it waits most of the time
	away := outage
	if text := os.Getenv("SAMPAN_E2E_OUTAGE"); text != "" {
		var err error
		if away, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	// Both wait most of the time.
	t.Run("agent", func(t *testing.T) {
		t.Parallel()
		server, _, door := joined(t)
		survive(t, server, door, "joined", away, func() { server.down(t) }, func() { server.up(t) })
	})
	t.Run("separate", func(t *testing.T) {
		t.Parallel()
		c := start(t, "--separate")
		_, door := c.door(t)
		name := strings.TrimPrefix(strings.TrimSpace(c.kubectl(t, "get", "nodes", "-o", "name")), "node/")
		node := c.nodePID(t)
		survive(t, c, door, name, away, func() {
			if out, err := c.sampan("down", "--server", "--data-dir", c.dir); err != nil {
				t.Fatalf("down --server: %v\n%s", err, out)
			}
		}, func() { c.up(t) })
		if now := c.nodePID(t); now != node {
			t.Errorf("the node was process %s and is %s", node, now)
		}
	})
}

// survive rolls out fifty pods on the only node, stops the control plane for a while and looks what has become of them.
func survive(t *testing.T, server *cluster, door dynamic.Interface, node string, away time.Duration, stop, start func()) {
	server.kubectlIn(t, outageManifest, "apply", "-f", "-")
	server.kubectl(t, "-n", "outage", "rollout", "status", "deployment/web", "--timeout=300s")
	server.kubectl(t, "-n", "outage", "wait", "pod/asker", "pod/mortal", "pod/probed", "--for=condition=Ready", "--timeout=300s")
	before := podUIDs(t, door)
	if len(before) != 50 {
		t.Fatalf("%d pods", len(before))
	}

	stop()
	gone := time.Now()
	time.Sleep(away) // the outage itself
	back := time.Now()
	start()

	renewed := renewedAfter(t, door, node, back)
	server.kubectl(t, "wait", "node/"+node, "--for=condition=Ready", "--timeout=300s")
	asks := strings.Fields(server.kubectl(t, "-n", "outage", "exec", "asker", "--", "cat", "/data/asked"))
	failed := strings.Fields(server.kubectl(t, "-n", "outage", "exec", "asker", "--", "cat", "/data/failed"))
	during := within(t, asks, gone, back)
	t.Logf("away for %v: %d rounds of a request and two questions to DNS, failed %d: %v; the lease was renewed %v after the start",
		back.Sub(gone).Round(time.Second), during, within(t, failed, gone, back), failed, renewed.Round(time.Millisecond))
	if during < int(away.Seconds())/4 {
		t.Errorf("the pod asked %d times only", during)
	}
	if n := within(t, failed, gone, back); n > 0 {
		t.Errorf("%d requests failed", n)
	}
	for _, name := range []string{"mortal", "probed"} {
		starts := strings.Fields(server.kubectl(t, "-n", "outage", "exec", name, "-c", "witness", "--", "cat", "/data/starts"))
		n := within(t, starts, gone, back)
		t.Logf("%s was started %d times meanwhile", name, n)
		if n == 0 {
			t.Errorf("%s was not started again", name)
		}
	}
	if after := podUIDs(t, door); !slices.Equal(before, after) {
		t.Errorf("the pods were\n%v and are\n%v", before, after)
	}
	object, err := door.Resource(nodes).Get(t.Context(), node, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if taints, _, _ := unstructured.NestedSlice(object.Object, "spec", "taints"); len(taints) > 0 {
		t.Errorf("taints: %v", taints)
	}
}

// podUIDs are the pods of the test, each by its name and UID.
func podUIDs(t *testing.T, door dynamic.Interface) []string {
	t.Helper()
	list, err := door.Resource(pods).Namespace("outage").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range list.Items {
		if p.GetDeletionTimestamp() == nil {
			out = append(out, p.GetName()+" "+string(p.GetUID()))
		}
	}
	slices.Sort(out)
	return out
}

// renewedAfter waits until the node's lease has been renewed after start and returns how long after that it was.
func renewedAfter(t *testing.T, door dynamic.Interface, node string, start time.Time) (took time.Duration) {
	t.Helper()
	until(t, 2*time.Minute, "lease of the node", func() error {
		l, err := door.Resource(nodeLeases).Namespace("kube-node-lease").Get(t.Context(), node, metav1.GetOptions{})
		if err != nil {
			return err
		}
		text, _, _ := unstructured.NestedString(l.Object, "spec", "renewTime")
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return err
		}
		if took = at.Sub(start); took <= 0 {
			return fmt.Errorf("renewed at %s", text)
		}
		return nil
	})
	return took
}

// within counts the times, in seconds, that lie in a span.
func within(t *testing.T, seconds []string, from, to time.Time) int {
	t.Helper()
	n := 0
	for _, text := range seconds {
		at, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if at > from.Unix() && at < to.Unix() {
			n++
		}
	}
	return n
}

const outageManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: outage}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: outage}
spec:
  selector: {app: web}
  ports:
  - {port: 80, targetPort: 8080}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: outage}
spec:
  replicas: 47
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: sampan.dev/busybox:1
        command: [sh, -c, 'hostname > /www/index.html; exec httpd -f -p 8080 -h /www']
        readinessProbe:
          httpGet: {path: /, port: 8080}
---
apiVersion: v1
kind: Pod
metadata: {name: asker, namespace: outage}
spec:
  terminationGracePeriodSeconds: 0
  volumes:
  - {name: data, emptyDir: {}}
  containers:
  - name: main
    image: sampan.dev/busybox:1
    volumeMounts:
    - {name: data, mountPath: /data}
    command:
    - sh
    - -c
    - |
      : > /data/failed
      while true; do
        fetch http://web/ > /dev/null && nslookup web.outage.svc.cluster.local > /dev/null && nslookup kubernetes.default.svc.cluster.local > /dev/null || date +%s >> /data/failed
        date +%s >> /data/asked
        sleep 1
      done
---
apiVersion: v1
kind: Pod
metadata: {name: mortal, namespace: outage}
spec:
  terminationGracePeriodSeconds: 0
  volumes:
  - {name: data, emptyDir: {}}
  containers:
  - name: main
    image: sampan.dev/busybox:1
    command: [sh, -c, 'date +%s >> /data/starts; sleep 12; exit 1']
    volumeMounts:
    - {name: data, mountPath: /data}
  - name: witness
    image: sampan.dev/busybox:1
    command: [sleep, "100000"]
    volumeMounts:
    - {name: data, mountPath: /data}
---
apiVersion: v1
kind: Pod
metadata: {name: probed, namespace: outage}
spec:
  terminationGracePeriodSeconds: 0
  volumes:
  - {name: data, emptyDir: {}}
  containers:
  - name: main
    image: sampan.dev/busybox:1
    command: [sh, -c, 'date +%s >> /data/starts; touch /tmp/alive; sleep 12; rm /tmp/alive; exec sleep 100000']
    livenessProbe:
      exec: {command: [cat, /tmp/alive]}
      periodSeconds: 1
      failureThreshold: 1
    volumeMounts:
    - {name: data, mountPath: /data}
  - name: witness
    image: sampan.dev/busybox:1
    command: [sleep, "100000"]
    volumeMounts:
    - {name: data, mountPath: /data}
`
