//go:build e2e

package e2e

import (
	"errors"
	"path/filepath"
	"testing"
	"time"
)

const csiSnapshot = `
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotClass
metadata: {name: driven}
driver: ` + csiDriver + `
deletionPolicy: Delete
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: yesterday}
spec:
  volumeSnapshotClassName: driven
  source: {persistentVolumeClaimName: data}
`

const csiCopies = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: restored}
spec:
  storageClassName: driven
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 2Gi}}
  dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: yesterday}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: copied}
spec:
  storageClassName: driven
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
  dataSource: {kind: PersistentVolumeClaim, name: data}
`

// TestCSISnapshots: the stock snapshot-controller and csi-snapshotter take a snapshot of a volume while a pod writes to it; a claim made from the
// snapshot has what was in the volume then, one made from the claim what is in it now; afterwards nothing of any of them is left.
func TestCSISnapshots(t *testing.T) {
	bin := csiPrograms(t)
	c := start(t)
	d := newStorageDriver(t, c, bin)
	c.kubectl(t, "apply", "-f", filepath.Join(bin, "crd"))
	c.kubectl(t, "wait", "crd", "--all", "--for=condition=Established", "--timeout=300s")
	d.start(t, "snapshot-controller", "--kubeconfig", c.kubeconfig, "--leader-election=false")
	d.start(t, "csi-snapshotter", "--kubeconfig", c.kubeconfig, "--csi-address", d.socket(), "--leader-election=false")

	c.kubectlIn(t, csiObjects, "apply", "-f", "-")
	c.kubectlIn(t, csiPod("one", "data"), "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/one", "--for=condition=Ready", "--timeout=300s")
	c.kubectlIn(t, csiSnapshot, "apply", "-f", "-")
	c.kubectl(t, "wait", "volumesnapshot/yesterday", "--for=jsonpath={.status.readyToUse}=true", "--timeout=300s")
	c.kubectl(t, "exec", "one", "--", "sh", "-c", "echo later >> /data/log")

	c.kubectlIn(t, csiCopies, "apply", "-f", "-")
	c.kubectlIn(t, csiPod("two", "restored"), "apply", "-f", "-")
	c.kubectlIn(t, csiPod("three", "copied"), "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/two", "pod/three", "--for=condition=Ready", "--timeout=300s")
	for pod, want := range map[string]string{"two": "one\ntwo\n", "three": "one\nlater\nthree\n", "one": "one\nlater\n"} {
		if got := c.kubectl(t, "exec", pod, "--", "cat", "/data/log"); got != want {
			t.Errorf("the volume of pod %s has %q, want %q", pod, got, want)
		}
	}

	c.kubectl(t, "delete", "pods", "--all", "--timeout=300s")
	c.kubectl(t, "delete", "pvc", "--all", "--timeout=300s")
	c.kubectl(t, "delete", "volumesnapshot", "yesterday", "--timeout=300s")
	until(t, time.Minute, "no snapshot is left", func() error {
		if got := c.kubectl(t, "get", "volumesnapshotcontents", "-o", "name"); got != "" {
			return errors.New(got)
		}
		return nil
	})
	d.nothingLeft(t)
}
