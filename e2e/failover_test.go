//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A StatefulSet of one pod that would rather be on the node %s; it writes the machine's uptime into a file of its own again and again.
const failoverManifest = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 1
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 120
      affinity:
        nodeAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - {weight: 100, preference: {matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [%s]}]}}
      containers:
      - name: db
        image: sampan.dev/busybox:1
        command: [sh, -c, 'trap "" TERM; while :; do cut -d" " -f1 /proc/uptime >>/shared/$UID_; sleep 0.1; done']
        env: [{name: UID_, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}]
        volumeMounts: [{name: shared, mountPath: /shared}]
      volumes: [{name: shared, hostPath: {path: %s}}]
`

// TestFastFailover cuts the second node off: the pod that must not be there twice comes to the first, and the two never ran at one time,
// although the first was told to end in vain.
func TestFastFailover(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := newCluster(t, "--nodes", "2", "--fast-failover")
	c.up(t)
	c.images(t)
	shared := t.TempDir()
	if err := os.Chmod(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	second := ""
	for _, name := range strings.Fields(c.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")) {
		if strings.HasSuffix(name, "-2") {
			second = name
		}
	}
	pod := func() (uid, node, phase string) {
		f := strings.Fields(c.kubectl(t, "get", "pods", "-l", "app=db", "-o", "jsonpath={.items[*].metadata.uid} {.items[*].spec.nodeName} {.items[*].status.phase}"))
		if len(f) != 3 {
			return "", "", ""
		}
		return f[0], f[1], f[2]
	}
	c.kubectlIn(t, fmt.Sprintf(failoverManifest, second, shared), "apply", "-f", "-")
	var was string
	until(t, 2*time.Minute, "the pod runs on the second node", func() error {
		uid, node, phase := pod()
		if was = uid; node != second || phase != "Running" {
			return fmt.Errorf("it is %s on %q", phase, node)
		}
		return nil
	})
	sum := sha256.Sum256([]byte(filepath.Join(c.dir, "nodes", "2")))
	link := "smpn" + hex.EncodeToString(sum[:4])
	run(t, "ip", "link", "set", link, "down")
	cut := time.Now()
	var now string
	until(t, 5*time.Minute, "another runs on the first node", func() error {
		uid, node, phase := pod()
		if now = uid; uid == "" || uid == was || node == second || phase != "Running" {
			return errors.New("not yet")
		}
		_, err := os.Stat(filepath.Join(shared, uid))
		return err
	})
	t.Logf("replaced %v after the cut", time.Since(cut).Round(time.Second))
	last, first := uptimes(t, filepath.Join(shared, was)), uptimes(t, filepath.Join(shared, now))
	if last[len(last)-1] >= first[0] {
		t.Errorf("both ran: the old one until %v, the new one from %v", last[len(last)-1], first[0])
	}
	run(t, "ip", "link", "set", link, "up")
	until(t, 3*time.Minute, "the node is back, with its promise", func() error {
		if s := c.kubectl(t, "get", "node", second, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status} {.metadata.annotations.sampan\.dev/ends-exclusive-pods-after}`); s != "True 1m0s" {
			return errors.New(s)
		}
		return nil
	})
	if uid, node, _ := pod(); uid != now || node == second {
		t.Errorf("the node's return changed the pod: %s on %s", uid, node)
	}
	if n := len(uptimes(t, filepath.Join(shared, was))); n != len(last) {
		t.Error("the old one runs again")
	}
}

// uptimes are the seconds that a pod of failoverManifest wrote.
func uptimes(t *testing.T, file string) (out []float64) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Fields(string(data)) {
		if s, err := strconv.ParseFloat(line, 64); err == nil {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s is empty", file)
	}
	return out
}
