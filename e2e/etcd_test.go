//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEtcd reads the embedded member with etcdctl, then lets a stock etcd serve the same directory: a control plane that
// uses it must show the same cluster, and so must the first one when it gets its directory back.
func TestEtcd(t *testing.T) {
	c := newCluster(t)
	said := c.up(t)
	c.images(t)
	c.kubectlIn(t, etcdManifest, "apply", "-f", "-")
	c.kubectl(t, "-n", "kept", "rollout", "status", "deployment/web", "--timeout=300s")

	at := regexp.MustCompile(`embedded etcd, clients at (\S+)`).FindStringSubmatch(said)
	if at == nil {
		t.Fatalf("up does not say where etcd is:\n%s", said)
	}
	keys := strings.Fields(c.etcdctl(t, at[1], "get", "/registry/", "--prefix", "--keys-only"))
	t.Logf("%d keys below /registry/", len(keys))
	for _, key := range []string{
		"/registry/namespaces/kept", "/registry/deployments/kept/web", "/registry/services/specs/kept/web",
		"/registry/services/specs/default/kubernetes", "/registry/services/endpoints/default/kubernetes",
		"/registry/configmaps/kept/settings", "/registry/clusterroles/cluster-admin",
		"/registry/minions/" + strings.TrimPrefix(strings.TrimSpace(c.kubectl(t, "get", "nodes", "-o", "name")), "node/"),
	} {
		if !slices.Contains(keys, key) {
			t.Errorf("no key %s", key)
		}
	}
	value := c.etcdctl(t, at[1], "get", "/registry/configmaps/kept/settings", "--print-value-only")
	if !strings.HasPrefix(value, "k8s\x00\n\x0f\n\x02v1\x12\tConfigMap") || !strings.Contains(value, "swordfish") {
		t.Errorf("the ConfigMap is not in upstream's envelope: %q", value)
	}
	counted := len(slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !strings.HasPrefix(k, "/registry/configmaps/") }))
	if listed := len(strings.Fields(c.kubectl(t, "get", "configmaps", "-A", "-o", "name"))); listed != counted {
		t.Errorf("%d ConfigMaps by kubectl, %d by etcdctl", listed, counted)
	}
	backup := filepath.Join(t.TempDir(), "backup.db")
	c.etcdctl(t, at[1], "snapshot", "save", backup)

	before := c.everything(t)
	c.down(t)
	stop, endpoint := c.stockEtcd(t)
	other := newCluster(t, "--no-node", "--etcd-servers", "https://"+endpoint,
		"--etcd-cafile", filepath.Join(c.dir, "pki/etcd/ca.crt"),
		"--etcd-certfile", filepath.Join(c.dir, "pki/apiserver-etcd-client.crt"),
		"--etcd-keyfile", filepath.Join(c.dir, "pki/apiserver-etcd-client.key"))
	other.flags = append(other.flags, c.flags[slices.Index(c.flags, "--cluster-cidr"):]...) // the ranges are the cluster's
	t.Logf("%s", other.up(t))
	if now := other.everything(t); now != before {
		t.Errorf("behind a stock etcd the cluster is\n%s\nand was\n%s", now, before)
	}
	other.kubectl(t, "-n", "kept", "create", "configmap", "meanwhile")
	other.down(t)
	stop()

	c.up(t)
	c.kubectl(t, "-n", "kept", "rollout", "status", "deployment/web", "--timeout=300s")
	c.kubectl(t, "-n", "kept", "get", "configmap", "meanwhile")
	if now := c.everything(t); now != before {
		t.Errorf("with its directory back the cluster is\n%s\nand was\n%s", now, before)
	}
}

// everything is what `kubectl get all -A` names, with what identifies it.
func (c *cluster) everything(t *testing.T) string {
	t.Helper()
	lines := strings.Split(c.kubectl(t, "get", "all", "-A", "-o", `jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name} {.metadata.uid}{"\n"}{end}`), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (c *cluster) etcdctl(t *testing.T, endpoint string, args ...string) string {
	t.Helper()
	pki := filepath.Join(c.dir, "pki/etcd")
	cmd := exec.CommandContext(t.Context(), filepath.Join(c.bin, "etcdctl"), append([]string{
		"--endpoints", "https://" + endpoint, "--cacert", pki + "/ca.crt",
		"--cert", pki + "/healthcheck-client.crt", "--key", pki + "/healthcheck-client.key"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("etcdctl %v: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

// stockEtcd serves the cluster's etcd directory by the stock binary until stop is called or the test ends.
func (c *cluster) stockEtcd(t *testing.T) (stop func(), endpoint string) {
	t.Helper()
	endpoint = "127.0.0.1:" + freePort(t)
	pki := filepath.Join(c.dir, "pki/etcd")
	cmd := exec.Command(filepath.Join(c.bin, "etcd"), "--data-dir", filepath.Join(c.dir, "etcd"),
		"--listen-client-urls", "https://"+endpoint, "--advertise-client-urls", "https://"+endpoint,
		"--listen-peer-urls", "http://127.0.0.1:"+freePort(t),
		"--cert-file", pki+"/server.crt", "--key-file", pki+"/server.key", "--trusted-ca-file", pki+"/ca.crt", "--client-cert-auth")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan bool, 1), make(chan error, 1)
	var text bytes.Buffer
	go func() {
		lines := bufio.NewScanner(log)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			text.Write(append(lines.Bytes(), '\n'))
			if strings.Contains(lines.Text(), "ready to serve client requests") {
				select {
				case ready <- true:
				default:
				}
			}
		}
		ended <- cmd.Wait()
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience * 20 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			_ = os.WriteFile("/tmp/"+filepath.Base(c.dir)+"-etcd.log", text.Bytes(), 0o644)
		}
	}
	t.Cleanup(stop)
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("etcd ended: %v\n%s", err, text.String())
	case <-time.After(patience * 30 * time.Second):
		t.Fatal("etcd is not ready in time")
	}
	return stop, endpoint
}

const etcdManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: kept}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: kept}
data: {password: swordfish}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: kept}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: sampan.dev/busybox:1
        command: [httpd, -f, -p, '8080']
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: kept}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
`
