//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const csiDriver = "csi.e2e.sampan.dev"

// storageDriver is the CSI driver of e2e/csi with the stock sidecars of its controller part, all as processes of the machine.
type storageDriver struct {
	c       *cluster
	bin     string // folder of the programs
	dir     string // of the driver: its socket, its volumes, logs
	running map[string]*exec.Cmd
}

// csiPrograms is the folder with the driver and the stock sidecars. They are large, and built by `make csi`, which runs these tests.
func csiPrograms(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SAMPAN_CSI_BIN")
	if dir == "" {
		t.Skip("SAMPAN_CSI_BIN names no folder with a CSI driver and the stock sidecars; 'make csi' builds them and runs this")
	}
	return dir
}

func newStorageDriver(t *testing.T, c *cluster, bin string) *storageDriver {
	t.Helper()
	d := &storageDriver{c: c, bin: bin, running: map[string]*exec.Cmd{}}
	var err error
	if d.dir, err = os.MkdirTemp("/var/tmp", "csi"); err != nil { // t.TempDir's names are too long for sockets
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.end(t)
		if t.Failed() {
			for _, name := range []string{"csi", "csi-provisioner", "csi-attacher", "csi-resizer", "csi-snapshotter", "snapshot-controller"} {
				text, _ := os.ReadFile(filepath.Join(d.dir, name+".log"))
				t.Logf("%s:\n%s", name, text[max(0, len(text)-4000):])
			}
		}
		os.RemoveAll(d.dir)
	})
	d.begin(t)
	return d
}

// begin starts the driver and its sidecars.
func (d *storageDriver) begin(t *testing.T) {
	t.Helper()
	d.start(t, "csi", "-endpoint", d.socket(), "-state", filepath.Join(d.dir, "volumes"), "-node-id", "e2e-node", "-registry", filepath.Join(d.c.dir, "kubelet/plugins_registry"))
	until(t, time.Minute, "the driver listens", func() error { _, err := os.Stat(d.socket()); return err })
	for name, more := range map[string][]string{"csi-provisioner": {"--strict-topology"}, "csi-attacher": nil, "csi-resizer": nil} {
		d.start(t, name, append([]string{"--kubeconfig", d.c.kubeconfig, "--csi-address", d.socket(), "--leader-election=false"}, more...)...)
	}
}

// end ends them all.
func (d *storageDriver) end(t *testing.T) {
	t.Helper()
	for name := range d.running {
		d.stop(t, name)
	}
}

func (d *storageDriver) socket() string { return filepath.Join(d.dir, "csi.sock") }

// start runs a program until it is stopped.
func (d *storageDriver) start(t *testing.T, name string, args ...string) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(d.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(d.bin, name), args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.running[name] = cmd
}

func (d *storageDriver) stop(t *testing.T, name string) {
	t.Helper()
	cmd := d.running[name]
	delete(d.running, name)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// calls counts the driver's calls of a method that succeeded.
func (d *storageDriver) calls(t *testing.T, method string) (n int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, "csi.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if strings.Contains(line, "/csi.v1.") && strings.Contains(line, "/"+method+" ") && strings.HasSuffix(line, ": <nil>") {
			n++
		}
	}
	return n
}

// mounted are the mounts of the driver's volumes below the kubelet's folder.
func (d *storageDriver) mounted(t *testing.T) (out []string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], d.c.dir) && strings.Contains(f[4], "csi") {
			out = append(out, strings.TrimPrefix(f[4], d.c.dir))
		}
	}
	return out
}

const csiObjects = `
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {name: ` + csiDriver + `}
spec:
  attachRequired: true
  podInfoOnMount: true
  fsGroupPolicy: File
  volumeLifecycleModes: [Persistent, Ephemeral]
  tokenRequests: [{audience: e2e, expirationSeconds: 600}]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: driven}
provisioner: ` + csiDriver + `
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  storageClassName: driven
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
---
apiVersion: v1
kind: Secret
metadata: {name: inline}
stringData: {key: for the driver}
`

func csiPod(name, claim string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {fsGroup: 1234}
  containers:
  - name: c
    image: sampan.dev/busybox:1
    command: [sh, -c, 'echo %s >> /data/log; sleep 3600']
    volumeMounts:
    - {name: data, mountPath: /data}
    - {name: own, mountPath: /own}
    - {name: data, mountPath: /sub, subPath: below}
  volumes:
  - name: data
    persistentVolumeClaim: {claimName: %s}
  - name: own
    csi:
      driver: `+csiDriver+`
      nodePublishSecretRef: {name: inline}
`, name, name, claim)
}

// TestCSI: a claim gets a volume of a CSI driver by the stock provisioner, which the stock attacher attaches and the kubelet mounts; it is grown by the stock
// resizer and the kubelet while a pod has it; kubelets and drivers end and come back; in the end nothing is mounted, attached or left.
func TestCSI(t *testing.T) {
	bin := csiPrograms(t)
	c := start(t)
	d := newStorageDriver(t, c, bin)
	until(t, time.Minute, "the driver is in the CSINode", func() error {
		if got := c.kubectl(t, "get", "csinodes", "-o", "jsonpath={.items[*].spec.drivers[*].nodeID}"); got != "e2e-node" {
			return fmt.Errorf("drivers: %q", got)
		}
		return nil
	})
	c.kubectlIn(t, csiObjects, "apply", "-f", "-")
	c.kubectlIn(t, csiPod("one", "data"), "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/one", "--for=condition=Ready", "--timeout=300s")
	if got := c.kubectl(t, "exec", "one", "--", "stat", "-c", "%g %A", "/data", "/data/log"); !strings.HasPrefix(got, "1234 drwxrws") || !strings.Contains(got, "\n1234 -rw") {
		t.Errorf("the volume belongs to %s", got)
	}
	if got := c.kubectl(t, "exec", "one", "--", "sh", "-c", "cat /own/pod /own/secret; cut -c 1-17 /own/tokens"); got != "default/one\nfor the driver"+`{"e2e":{"token":"`+"\n" {
		t.Errorf("the driver was told %q", got)
	}
	if got := c.kubectl(t, "get", "volumeattachments", "-o", "jsonpath={.items[*].status.attached} {.items[*].spec.attacher}"); got != "true "+csiDriver {
		t.Errorf("attached: %s", got)
	}
	before := d.mounted(t)
	if len(before) < 3 { // staged, published, and the pod's own
		t.Errorf("mounted: %v", before)
	}
	grow(t, c, d, "one")
	node := strings.TrimSpace(c.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"))
	if got := c.kubectl(t, "get", "--raw", "/api/v1/nodes/"+node+"/proxy/metrics"); !strings.Contains(got, `kubelet_volume_stats_capacity_bytes{namespace="default",persistentvolumeclaim="data"} 2.147483648e+09`) {
		t.Errorf("metrics: %s", got)
	}
	if got := c.kubectl(t, "get", "--raw", "/api/v1/nodes/"+node+"/proxy/stats/summary"); !strings.Contains(got, `"pvcRef"`) {
		t.Error("the summary does not tell of the claim")
	}

	// The kubelet dies and comes back: nothing is mounted twice, and the pod keeps what it has.
	c.kill(t)
	until(t, time.Minute, "it is there again", func() error { _, err := c.sampan("status", "--data-dir", c.dir); return err })
	c.kubectl(t, "wait", "pod/one", "--for=condition=Ready", "--timeout=300s")
	c.kubectl(t, "exec", "one", "--", "sh", "-c", "echo still >> /data/log")
	until(t, time.Minute, "the driver is registered again", func() error {
		if got := c.kubectl(t, "get", "csinodes", "-o", "jsonpath={.items[*].spec.drivers[*].name}"); got != csiDriver {
			return errors.New(got)
		}
		return nil
	})
	if now := d.mounted(t); strings.Join(now, " ") != strings.Join(before, " ") {
		t.Errorf("mounted %v, were %v", now, before)
	}

	// A second pod has the volume too; when the first goes it stays staged, and when the driver is away what is left waits for it.
	c.kubectlIn(t, csiPod("two", "data"), "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/two", "--for=condition=Ready", "--timeout=300s")
	c.kubectl(t, "delete", "pod", "one", "--timeout=300s")
	if n := d.calls(t, "NodeUnstageVolume"); n != 0 {
		t.Errorf("unstaged %d times while a pod has it", n)
	}
	if got := c.kubectl(t, "exec", "two", "--", "cat", "/data/log"); got != "one\nstill\ntwo\n" {
		t.Errorf("the volume has %q", got)
	}
	d.end(t)
	c.kubectl(t, "delete", "pod", "two", "--wait=false")
	c.kubectl(t, "wait", "pod/two", "--for=jsonpath={.status.containerStatuses[0].state.terminated.reason}", "--timeout=300s")
	if len(d.mounted(t)) == 0 {
		t.Error("nothing is mounted, though the driver was not there")
	}
	d.begin(t)
	c.kubectl(t, "wait", "pod/two", "--for=delete", "--timeout=300s")
	c.kubectl(t, "delete", "pvc", "data", "--timeout=300s")
	d.nothingLeft(t)
}

// grow makes the claim of a pod that runs larger.
func grow(t *testing.T, c *cluster, d *storageDriver, pod string) {
	t.Helper()
	c.kubectl(t, "patch", "pvc", "data", "-p", `{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}`)
	until(t, 3*time.Minute, "the claim has grown", func() error {
		if got := c.kubectl(t, "get", "pvc", "data", "-o", "jsonpath={.status.capacity.storage} {.status.conditions} {.status.allocatedResourceStatuses}"); got != "2Gi  " {
			return errors.New(got)
		}
		return nil
	})
	grown, _ := filepath.Glob(filepath.Join(d.dir, "volumes", "*.grown"))
	if len(grown) != 1 {
		t.Fatalf("grown on the node: %v", grown)
	}
	if text, _ := os.ReadFile(grown[0]); string(text) != "2147483648" {
		t.Errorf("grown to %s", text)
	}
	events := c.kubectl(t, "get", "events", "-o", "jsonpath={range .items[*]}{.reason} {.involvedObject.kind}/{.involvedObject.name}{\"\\n\"}{end}")
	for _, want := range []string{"FileSystemResizeSuccessful Pod/" + pod, "FileSystemResizeSuccessful PersistentVolumeClaim/data", "ExternalExpanding PersistentVolumeClaim/data", "SuccessfulAttachVolume Pod/" + pod} {
		if !strings.Contains(events, want) {
			t.Errorf("no event %q", want)
		}
	}
}

// TestCSIDevice: a claim of volumeMode Block is a device in the pod, and nothing of it is left on the node afterwards.
func TestCSIDevice(t *testing.T) {
	if out, err := exec.Command("losetup", "-f").CombinedOutput(); err != nil {
		t.Skipf("no loop devices: %v %s", err, out)
	}
	bin := csiPrograms(t)
	c := start(t)
	d := newStorageDriver(t, c, bin)
	c.kubectlIn(t, csiObjects, "apply", "-f", "-")
	c.kubectlIn(t, `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: raw}
spec:
  storageClassName: driven
  volumeMode: Block
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 8Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: raw}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: sampan.dev/busybox:1
    command: [sleep, '3600']
    volumeDevices: [{name: raw, devicePath: /dev/raw}]
  volumes:
  - name: raw
    persistentVolumeClaim: {claimName: raw}
`, "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/raw", "--for=condition=Ready", "--timeout=300s")
	if got := c.kubectl(t, "exec", "raw", "--", "sh", "-c", "test -b /dev/raw && echo hello | dd of=/dev/raw bs=512 conv=sync 2>/dev/null && head -c 5 /dev/raw && blockdev --getsize64 /dev/raw"); got != "hello8388608\n" {
		t.Errorf("the device: %q", got)
	}
	c.kill(t)
	until(t, time.Minute, "the node is there again", func() error { _, err := c.sampan("status", "--data-dir", c.dir); return err })
	c.kubectl(t, "delete", "pod", "raw", "--timeout=300s")
	c.kubectl(t, "delete", "pvc", "raw", "--timeout=300s")
	d.nothingLeft(t)
	if out, _ := exec.Command("losetup", "-a").Output(); strings.Contains(string(out), d.dir) {
		t.Errorf("loop devices: %s", out)
	}
}

// nothingLeft waits until no volume of the driver is mounted, attached or there, and looks for what the kubelet left.
func (d *storageDriver) nothingLeft(t *testing.T) {
	t.Helper()
	until(t, time.Minute, "no volume is left", func() error {
		volumes, _ := filepath.Glob(filepath.Join(d.dir, "volumes", "*.json"))
		files, _ := filepath.Glob(filepath.Join(d.c.dir, "kubelet/plugins/kubernetes.io/csi/*/*"))
		files = slices.DeleteFunc(files, func(f string) bool { // the folders of all devices stay, empty
			entries, err := os.ReadDir(f)
			return err == nil && len(entries) == 0
		})
		objects := d.c.kubectl(t, "get", "pv,volumeattachments", "-o", "name") + d.c.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[*].status.volumesAttached}{.items[*].status.volumesInUse}")
		if mounted := d.mounted(t); len(volumes)+len(files)+len(mounted) > 0 || objects != "" {
			return fmt.Errorf("volumes %v, files %v, mounts %v, objects %s", volumes, files, mounted, objects)
		}
		return nil
	})
}

// TestCSIKills kills the node while pods with a shared volume and volumes of their own come and go: none is mounted twice, no container is started
// again, and in the end nothing is left.
func TestCSIKills(t *testing.T) {
	bin := csiPrograms(t)
	c := start(t)
	d := newStorageDriver(t, c, bin)
	c.kubectlIn(t, csiObjects, "apply", "-f", "-")
	const kills = 8
	for i := range kills {
		c.kubectlIn(t, csiPod(fmt.Sprint("p", i), "data"), "apply", "-f", "-")
		time.Sleep(time.Duration(i) * 150 * time.Millisecond) // it is at another step each time
		c.kill(t)
		until(t, time.Minute, "the node is there again", func() error { _, err := c.sampan("status", "--data-dir", c.dir); return err })
		if i > 1 {
			c.kubectl(t, "delete", "pod", fmt.Sprint("p", i-2), "--wait=false")
		}
	}
	for i := kills - 2; i < kills; i++ {
		c.kubectl(t, "wait", fmt.Sprint("pod/p", i), "--for=condition=Ready", "--timeout=300s")
	}
	if got := c.kubectl(t, "get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}"); strings.Trim(got, "0 ") != "" {
		t.Errorf("restarts: %s", got)
	}
	seen := map[string]bool{}
	for _, m := range d.mounted(t) {
		if seen[m] {
			t.Errorf("%s is mounted twice", m)
		}
		seen[m] = true
	}
	c.kubectl(t, "delete", "pods", "--all", "--timeout=300s")
	c.kubectl(t, "delete", "pvc", "data", "--timeout=300s")
	d.nothingLeft(t)
}
