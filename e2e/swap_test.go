//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSwap puts upstream's programs in the places of ours and ours in the places of upstream's, one at a time, in a cluster of
// five processes, and prints a table of what worked. swap.sh runs it; it needs upstream's binaries.
func TestSwap(t *testing.T) {
	stock := os.Getenv("SAMPAN_STOCK")
	if stock == "" {
		t.Skip("SAMPAN_STOCK names no folder with upstream's binaries; swap.sh says how to make one")
	}
	row := func(cluster, swapped, maker, result string) {
		fmt.Printf("| %s | %s | %s | %s |\n", cluster, swapped, maker, result)
	}
	try := func(t *testing.T, p *parts, cluster, swapped, maker string) {
		result := "works"
		if err := p.works(t, swapped); err != nil {
			result = "fails: " + strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", " ")
			t.Errorf("%s, %s of %s: %v%s", cluster, swapped, maker, err, p.tail(swapped))
		}
		row(cluster, swapped, maker, result)
	}
	fmt.Println("| cluster | program | whose | result |")
	fmt.Println("|---|---|---|---|")
	swappable := []string{"kube-scheduler", "kube-controller-manager", "kube-proxy"}
	t.Run("ours", func(t *testing.T) {
		p := newParts(t, stock)
		try(t, p, "ours", "none", "ours")
		for _, name := range swappable {
			p.swap(t, name, true)
			try(t, p, "ours", name, "upstream's")
			p.swap(t, name, false)
		}
	})
	t.Run("stock", func(t *testing.T) {
		p := newParts(t, stock, "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
		try(t, p, "upstream's", "none", "upstream's")
		for _, name := range append(swappable, "kubelet") {
			p.swap(t, name, false)
			try(t, p, "upstream's", name, "ours")
			p.swap(t, name, true)
		}
	})
}

// works makes a Deployment and a Service in a namespace of its own, asks the Service from the host and from a pod, reads a log, has
// the Deployment scaled, and deletes the namespace; every program of the cluster has a part in that.
func (p *parts) works(t *testing.T, name string) error {
	ns := "works-" + name
	run := func(input string, args ...string) (string, error) {
		cmd := exec.Command(filepath.Join(p.bin, "kubectl"), append([]string{"--kubeconfig", p.kubeconfig, "-n", ns}, args...)...)
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return string(out), err
	}
	kubectl := func(args ...string) (string, error) { return run("", args...) }
	if err := p.patiently(60*time.Second, func() error {
		_, err := run(fmt.Sprintf(worksManifest, ns, ns, ns, ns), "apply", "-f", "-")
		return err
	}); err != nil {
		return err
	}
	if _, err := kubectl("rollout", "status", "deployment/web", "--timeout=300s"); err != nil {
		return err
	}
	ip, err := kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
	if err != nil {
		return err
	}
	asked := &http.Client{Timeout: 2 * time.Second}
	if err := p.patiently(60*time.Second, func() error {
		resp, err := asked.Get("http://" + ip + "/")
		if err != nil {
			return fmt.Errorf("service from the host: %w", err)
		}
		return resp.Body.Close()
	}); err != nil {
		return err
	}
	if err := p.patiently(60*time.Second, func() error {
		_, err := kubectl("exec", "deploy/web", "--", "fetch", "http://web/")
		return err
	}); err != nil {
		return err
	}
	if _, err := kubectl("logs", "deploy/web"); err != nil {
		return err
	}
	if _, err := kubectl("scale", "deployment/web", "--replicas=3"); err != nil {
		return err
	}
	if _, err := kubectl("rollout", "status", "deployment/web", "--timeout=300s"); err != nil {
		return err
	}
	if _, err := kubectl("delete", "namespace", ns, "--timeout=300s"); err != nil {
		return err
	}
	return nil
}

// patiently is until without a test to fail.
func (p *parts) patiently(limit time.Duration, look func() error) error {
	end := time.Now().Add(limit)
	for {
		err := look()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

const worksManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: %s}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: page, namespace: %s}
data: {index.html: hello}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: %s}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      volumes: [{name: page, configMap: {name: page}}]
      containers:
      - name: web
        image: sampan.dev/busybox:1
        imagePullPolicy: Never
        command: [sh, -c, 'echo begins; exec httpd -f -p 8080 -h /page']
        volumeMounts: [{name: page, mountPath: /page}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: %s}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
`
