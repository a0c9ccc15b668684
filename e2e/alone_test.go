//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
)

// TestKubeletAlone runs our kubelet without an API server on a containerd that is nobody's but its own, with the pod network of a
// CNI plugin that is none of ours: the containerd beside sampan, and the machine's own where there is one. No part of sampan but the
// kubelet runs.
func TestKubeletAlone(t *testing.T) {
	for _, c := range []struct{ name, containerd string }{
		{"beside", filepath.Join(binaries(t), "containerd")},
		{"machine's", "/usr/bin/containerd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := os.Stat(c.containerd); err != nil {
				t.Skipf("there is no containerd of the machine's: %v", err)
			}
			a := newAlone(t, c.containerd)
			t.Run("refuses", a.refuses)
			a.begin(t)
			t.Cleanup(func() { a.end(t) }) // whichever runs by then
			t.Run("answers", a.answers)
			t.Run("pod", a.pod)
			t.Run("restart", a.restart)
			t.Run("change", a.change)
			t.Run("url", a.url)
		})
	}
}

// alone is a kubelet without a cluster and the runtime that it uses. The socket has the form of CRI-O's.
type alone struct {
	bin, dir, socket string
	port, health     string
	readOnly         string
	network          string        // of its pods: "10.1.2"
	served           *atomic.Value // string: what the URL of manifests answers to those who send the header
	at               string        // that URL
	process          *exec.Cmd
	client           *http.Client
}

// newAlone starts the runtime and gives it the images.
func newAlone(t *testing.T, binary string) *alone {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("real containers need root")
	}
	a := &alone{bin: binaries(t), dir: fmt.Sprintf("/var/tmp/sampan-alone-%d-%d", os.Getpid(), made.Add(1)), port: freePort(t), health: freePort(t), readOnly: freePort(t), served: &atomic.Value{},
		client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}}
	a.socket = a.file("run/crio/crio.sock")
	pods, _ := ranges(t, a.dir)
	a.network = strings.Join(strings.Split(netip.MustParsePrefix(pods).Addr().String(), ".")[:3], ".")
	t.Cleanup(func() {
		removeCgroups(t, filepath.Base(a.dir))
		_ = os.RemoveAll(a.dir)
	})
	for _, d := range []string{"run/crio", "cni/bin", "cni/net.d", "cni/taken", "manifests", "conf.d", "kubelet"} {
		if err := os.MkdirAll(a.file(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"small", "loopback"} {
		run(t, "cp", "testdata/cni.sh", a.file("cni/bin/"+name))
	}
	write(t, a.file("cni/net.d/10-small.conf"), fmt.Sprintf(`{"cniVersion": "0.4.0", "name": "small", "type": "small", "dir": %q, "net": %q, "link": "al%s-"}`, a.file("cni/taken"), a.network, a.port))
	dir := filepath.Dir(binary)
	write(t, a.file("config.toml"), fmt.Sprintf(containerdFile, a.file("root"), a.file("state"), a.socket, a.file("cni/bin"), a.file("cni/net.d"), a.file("cni/bin"), a.file("cni/net.d")))
	containerd(t, dir, a.file("config.toml"), a.socket)
	t.Cleanup(func() { a.clear(t) })
	tars := append(imageFiles(t), filepath.Join(a.bin, "pause.tar"))
	for _, tar := range tars {
		args := []string{filepath.Join(a.bin, "sampan"), "image", "import", "--container-runtime-endpoint", a.socket, tar}
		if dir == "/usr/bin" { // which may be of a containerd that is older than the service that sampan imports by
			args = []string{"ctr", "--address", a.socket, "--namespace", "k8s.io", "images", "import", tar}
		}
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Token") != "open" || len(r.Header.Values("X-Two")) != 2 {
			http.Error(w, "who are you", http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, a.served.Load().(string))
	}))
	t.Cleanup(srv.Close)
	a.at = srv.URL
	a.served.Store(`{"apiVersion": "v1", "kind": "PodList", "items": []}`)
	return a
}

// removeCgroups removes an empty cgroup and those below it, which a kubelet leaves for the next one. In cgroup v1 there is one in
// each hierarchy.
func removeCgroups(t *testing.T, name string) {
	t.Helper()
	tops, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
	for _, top := range append(tops, "/sys/fs/cgroup/"+name) {
		var all []string
		_ = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				all = append(all, path)
			}
			return nil
		})
		for _, path := range slices.Backward(all) {
			if err := os.Remove(path); err != nil {
				t.Errorf("a cgroup is left: %v", err)
			}
		}
	}
}

// containerdFile has the settings of containerd 1 and of containerd 2; each ignores those of the other.
const containerdFile = `version = 2
root = %q
state = %q
[grpc]
  address = %q
[plugins.'io.containerd.grpc.v1.cri']
  sandbox_image = 'sampan.dev/pause:1'
  restrict_oom_score_adj = true
[plugins.'io.containerd.grpc.v1.cri'.cni]
  bin_dir = %q
  conf_dir = %q
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'sampan.dev/pause:1'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dir = %q
  conf_dir = %q
`

func (a *alone) file(name string) string { return filepath.Join(a.dir, name) }

// clear takes every pod away from the runtime, so that nothing of it outlives the test.
func (a *alone) clear(t *testing.T) {
	cri, err := runtime.Dial("unix://"+a.socket, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Error(err)
		return
	}
	defer cri.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience*time.Minute)
	defer cancel()
	pods, err := cri.List(ctx)
	for _, p := range pods {
		for _, s := range p.Sandboxes {
			err = errors.Join(err, cri.StopSandbox(ctx, s.ID), cri.RemoveSandbox(ctx, s.ID))
		}
	}
	if err != nil {
		t.Errorf("the runtime's pods: %v", err)
	}
}

// config writes the kubelet's file and its drop-ins: what the file says wrongly the drop-ins mend, the last of them last.
func (a *alone) config(t *testing.T) {
	t.Helper()
	const head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
	write(t, a.file("kubelet.yaml"), head+fmt.Sprintf(`
authentication: {webhook: {enabled: false}, anonymous: {enabled: false}}
authorization: {mode: AlwaysAllow}
address: 127.0.0.1
port: %s
healthzPort: %s
readOnlyPort: %s
cgroupRoot: /%s
cgroupDriver: cgroupfs
failSwapOn: false
failCgroupV1: false
containerRuntimeEndpoint: unix://%s
staticPodPath: %s
podLogsDir: %s
maxPods: 5
clusterDomain: of.the.file
evictionHard: {memory.available: 1Mi, nodefs.available: 1%%}
staticPodURLHeader: {X-Token: [open], X-Two: [a, b]}
httpCheckFrequency: 200ms
`, a.port, a.health, a.readOnly, filepath.Base(a.dir), a.socket, a.file("manifests"), a.file("logs")))
	write(t, a.file("conf.d/20-later.conf"), head+"maxPods: 20\nevictionHard: {nodefs.available: 2%}\n")
	write(t, a.file("conf.d/10-sooner.conf"), head+"maxPods: 10\nclusterDomain: of.the.first\nauthentication: {anonymous: {enabled: true}}\n")
	write(t, a.file("conf.d/30-not.yaml"), head+"maxPods: 30\n")
}

func (a *alone) command(flags ...string) *exec.Cmd {
	return exec.Command(filepath.Join(a.bin, "sampan"), append([]string{"kubelet", "--hostname-override", "lone", "--root-dir", a.file("kubelet"), "--cert-dir", a.file("pki")}, flags...)...)
}

// refuses shows the errors of settings: the kubelet ends with them at once, having done nothing.
func (a *alone) refuses(t *testing.T) {
	a.config(t)
	const head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
	if err := os.MkdirAll(a.file("bad.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, a.file("bad.d/50-bad.conf"), head+"maxPodz: 3\n")
	write(t, a.file("closed.yaml"), head+"containerRuntimeEndpoint: unix://"+a.socket+"\n")
	for _, c := range []struct {
		want  string
		flags []string
	}{
		{`validate CRI v1 runtime API for endpoint "unix:///var/run/crio/nobody.sock"`, []string{"--container-runtime-endpoint", "unix:///var/run/crio/nobody.sock"}},
		{"no such file or directory", []string{"--container-runtime-endpoint", "/var/run/crio/nobody.sock"}},
		{"want unix:///path/to/socket", []string{"--container-runtime-endpoint", "tcp://127.0.0.1:1"}},
		{"50-bad.conf: strict decoding error: unknown field \"maxPodz\"", []string{"--config-dir", a.file("bad.d")}},
		{"nothing.d: no such file or directory", []string{"--config-dir", a.file("nothing.d")}},
		{a.file("nothing.kubeconfig"), []string{"--kubeconfig", a.file("nothing.kubeconfig")}},
		{"no client provided, cannot use webhook authentication", []string{"--config", a.file("closed.yaml")}},
		{"no client provided, cannot use webhook authorization", []string{"--config", a.file("closed.yaml"), "--authentication-token-webhook=false"}},
		{"malformed pair, expect string:string", []string{"--manifest-url-header", "x"}},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), patience*time.Minute)
		cmd := a.command(c.flags...)
		full := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
		out, err := full.CombinedOutput()
		cancel()
		if err == nil || ctx.Err() == context.DeadlineExceeded || !strings.Contains(string(out), c.want) {
			t.Errorf("%v: %v, want an error with %q:\n%s", c.flags, err, c.want, out)
		}
	}
}

// begin starts the kubelet, whose runtime it finds by the socket's bare path this time.
func (a *alone) begin(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(a.file("kubelet.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := a.command("--config", a.file("kubelet.yaml"), "--config-dir", a.file("conf.d"), "--manifest-url", a.at)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a.process = cmd
	until(t, 30*time.Second, "kubelet", func() error {
		_, err := a.get("http://127.0.0.1:" + a.health + "/healthz")
		return err
	})
}

// end stops the kubelet. Its containers go on.
func (a *alone) end(t *testing.T) {
	if a.process == nil {
		return
	}
	_ = a.process.Process.Signal(syscall.SIGTERM)
	_ = a.process.Wait()
	a.process = nil
	if t.Failed() {
		data, _ := os.ReadFile(a.file("kubelet.log"))
		t.Logf("kubelet's log:\n%s", data)
	}
}

// get is the answer to a GET; any status but 200 is an error.
func (a *alone) get(url string) (string, error) {
	resp, err := a.client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, body)
	}
	return string(body), err
}

func (a *alone) https(path string) string { return "https://127.0.0.1:" + a.port + path }

// pods are what the kubelet says of them at a path, by name.
func (a *alone) pods(path string) (map[string]*corev1.Pod, error) {
	body, err := a.get(path)
	if err != nil {
		return nil, err
	}
	var list corev1.PodList
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		return nil, err
	}
	out := map[string]*corev1.Pod{}
	for i := range list.Items {
		out[list.Items[i].Name] = &list.Items[i]
	}
	return out, nil
}

// wait waits until a pod is as it should be and returns it; nil is a pod that there is not.
func (a *alone) wait(t *testing.T, name string, good func(*corev1.Pod) bool) (pod *corev1.Pod) {
	t.Helper()
	until(t, 90*time.Second, name, func() error {
		pods, err := a.pods(a.https("/pods"))
		if err != nil {
			return err
		}
		if pod = pods[name]; !good(pod) {
			status, _ := json.Marshal(pod)
			return fmt.Errorf("pod is %s", status)
		}
		return nil
	})
	return pod
}

func isReady(p *corev1.Pod) bool {
	if p == nil || p.Status.Phase != corev1.PodRunning {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// answers shows the faces, and what became of the file and its drop-ins.
func (a *alone) answers(t *testing.T) {
	plain := "http://127.0.0.1:" + a.readOnly
	for url, want := range map[string]string{
		"http://127.0.0.1:" + a.health + "/healthz": "ok", a.https("/healthz"): "ok", plain + "/healthz?verbose": "[+]syncloop ok",
		plain + "/pods": "PodList", a.https("/runningpods/"): "PodList", plain + "/stats/summary": `"nodeName": "lone"`,
	} {
		until(t, 30*time.Second, url, func() error {
			body, err := a.get(url)
			if err == nil && !strings.Contains(body, want) {
				err = fmt.Errorf("no %q in %s", want, body)
			}
			return err
		})
	}
	for _, path := range []string{"/configz", "/runningpods/", "/logs/", "/containerLogs/default/x/y"} {
		if body, err := a.get(plain + path); err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("%s on the read-only port: %v %s", path, err, body)
		}
	}
	body, err := a.get(a.https("/configz"))
	if err != nil {
		t.Fatal(err)
	}
	var is struct {
		Kubeletconfig struct {
			MaxPods       int
			ClusterDomain string
			EvictionHard  map[string]string
		}
	}
	if err := json.Unmarshal([]byte(body), &is); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(is.Kubeletconfig); got != "{20 of.the.first map[memory.available:1Mi nodefs.available:2%]}" {
		t.Errorf("the settings of the file and its drop-ins: %s", got)
	}
}

const webPod = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {version: %q}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: sampan.dev/busybox:1
    imagePullPolicy: Never
    command: [sh, -c, 'echo begun %s; mkdir -p /www; echo hello >/www/index.html; touch /tmp/alive; exec httpd -f -p 8080 -h /www']
    ports: [{containerPort: 8080}]
    readinessProbe: {httpGet: {path: /index.html, port: 8080}, periodSeconds: 1}
    livenessProbe: {exec: {command: [cat, /tmp/alive]}, periodSeconds: 1, failureThreshold: 1}
`

// brief are pods whose containers end.
const brief = `
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  restartPolicy: %s
  containers: [{name: c, image: sampan.dev/busybox:1, imagePullPolicy: Never, command: [sh, -c, 'exit %d']}]
`

// pod shows a pod of a manifest: its network, probes, logs, commands and restarts.
func (a *alone) pod(t *testing.T) {
	write(t, a.file("manifests/web.yaml"), fmt.Sprintf(webPod, "1", "1"))
	write(t, a.file("manifests/never.yaml"), fmt.Sprintf(brief, "never", "Never", 3))
	write(t, a.file("manifests/done.yaml"), fmt.Sprintf(brief, "done", "OnFailure", 0))
	write(t, a.file("manifests/again.yaml"), fmt.Sprintf(brief, "again", "Always", 0))
	web := a.wait(t, "web-lone", isReady)
	if !strings.HasPrefix(web.Status.PodIP, a.network+".") {
		t.Errorf("the pod's address is %q, not one of the plugin's", web.Status.PodIP)
	}
	if body, err := a.get("http://" + web.Status.PodIP + ":8080/"); err != nil || body != "hello\n" {
		t.Errorf("over the pod network: %q, %v", body, err)
	}
	if running, err := a.pods(a.https("/runningpods/")); err != nil || running["web-lone"] == nil {
		t.Errorf("running pods: %v, %v", running, err)
	}
	if body, err := a.get(a.https("/containerLogs/default/web-lone/c")); err != nil || body != "begun 1\n" {
		t.Errorf("logs: %q, %v", body, err)
	}
	if out, err := a.exec(t, "web-lone", "sh", "-c", "echo to you; cat"); err != nil || out != "to you\nfrom me" {
		t.Errorf("exec: %q, %v", out, err)
	}
	a.wait(t, "never-lone", func(p *corev1.Pod) bool { return p != nil && p.Status.Phase == corev1.PodFailed })
	a.wait(t, "done-lone", func(p *corev1.Pod) bool { return p != nil && p.Status.Phase == corev1.PodSucceeded })
	a.wait(t, "again-lone", func(p *corev1.Pod) bool {
		return p != nil && len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].RestartCount >= 1
	})
	if _, err := a.exec(t, "web-lone", "rm", "/tmp/alive"); err != nil {
		t.Errorf("exec: %v", err)
	}
	a.wait(t, "web-lone", func(p *corev1.Pod) bool { return isReady(p) && p.Status.ContainerStatuses[0].RestartCount == 1 })
	for _, name := range []string{"never", "done", "again"} {
		if err := os.Remove(a.file("manifests/" + name + ".yaml")); err != nil {
			t.Fatal(err)
		}
		a.wait(t, name+"-lone", func(p *corev1.Pod) bool { return p == nil })
	}
}

// exec runs a command through the kubelet's port; its standard input says "from me".
func (a *alone) exec(t *testing.T, pod string, cmd ...string) (string, error) {
	t.Helper()
	u, err := url.Parse(a.https("/exec/default/" + pod + "/c?input=1&output=1&error=1&" + url.Values{"command": cmd}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	e, err := remotecommand.NewSPDYExecutor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{Insecure: true}}, http.MethodPost, u)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience*time.Minute)
	defer cancel()
	var out, errOut bytes.Buffer
	err = e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: strings.NewReader("from me"), Stdout: &out, Stderr: &errOut})
	return out.String() + errOut.String(), err
}

// restart ends the kubelet and starts another, which finds the pod as it was.
func (a *alone) restart(t *testing.T) {
	before := a.wait(t, "web-lone", isReady)
	a.end(t)
	if body, err := a.get("http://" + before.Status.PodIP + ":8080/"); err != nil || body != "hello\n" {
		t.Errorf("without a kubelet: %q, %v", body, err)
	}
	a.begin(t)
	after := a.wait(t, "web-lone", isReady)
	if after.UID != before.UID || after.Status.PodIP != before.Status.PodIP || after.Status.ContainerStatuses[0].ContainerID != before.Status.ContainerStatuses[0].ContainerID {
		t.Errorf("another pod after the restart: %v, was %v", after.Status, before.Status)
	}
}

// change shows that a manifest that is another makes another pod, and one that is gone none; its address is free again then.
func (a *alone) change(t *testing.T) {
	before := a.wait(t, "web-lone", isReady)
	write(t, a.file("manifests/web.yaml"), fmt.Sprintf(webPod, "2", "2"))
	a.wait(t, "web-lone", func(p *corev1.Pod) bool { return isReady(p) && p.UID != before.UID && p.Labels["version"] == "2" })
	if body, err := a.get(a.https("/containerLogs/default/web-lone/c")); err != nil || body != "begun 2\n" {
		t.Errorf("logs: %q, %v", body, err)
	}
	if err := os.Remove(a.file("manifests/web.yaml")); err != nil {
		t.Fatal(err)
	}
	a.gone(t, "web-lone")
}

// gone waits until nothing of a pod is left, at the kubelet, the runtime or the network.
func (a *alone) gone(t *testing.T, name string) {
	t.Helper()
	a.wait(t, name, func(p *corev1.Pod) bool { return p == nil })
	until(t, 30*time.Second, name+" is gone", func() error {
		running, err := a.pods(a.https("/runningpods/"))
		taken, _ := filepath.Glob(a.file("cni/taken/*"))
		if err == nil && (running[name] != nil || len(taken) > 0) {
			err = fmt.Errorf("running are %v, addresses taken %v", running, taken)
		}
		return err
	})
}

// url shows the pods of the URL, which serves only those who send the header.
func (a *alone) url(t *testing.T) {
	a.served.Store(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "far", "namespace": "elsewhere"}, "spec": {"terminationGracePeriodSeconds": 1,
		"containers": [{"name": "c", "image": "sampan.dev/busybox:1", "imagePullPolicy": "Never", "command": ["sleep", "3600"]}]}}`)
	far := a.wait(t, "far-lone", isReady)
	if far.Namespace != "elsewhere" || far.Annotations["kubernetes.io/config.source"] != "http" {
		t.Errorf("the URL's pod is of %s and from %q", far.Namespace, far.Annotations["kubernetes.io/config.source"])
	}
	a.served.Store(`{"apiVersion": "v1", "kind": "PodList", "items": []}`)
	a.gone(t, "far-lone")
}
