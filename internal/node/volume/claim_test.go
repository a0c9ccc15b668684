package volume

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func boundClaim(namespace, name string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "claim"},
		Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "pv"}, Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
	}
}

func localVolume(path string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv"}, Spec: corev1.PersistentVolumeSpec{
		ClaimRef: &corev1.ObjectReference{UID: "claim"}, PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}},
	}}
}

// claimer is a pod with the claim.
func claimer(uid types.UID, readOnly bool, gid *int64) *corev1.Pod {
	p := pod(corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c", ReadOnly: readOnly}}})
	p.UID, p.Spec.SecurityContext = uid, &corev1.PodSecurityContext{FSGroup: gid}
	p.Spec.Containers = []corev1.Container{{Name: "c", VolumeMounts: []corev1.VolumeMount{{Name: "v"}}}}
	return p
}

// A claim that cannot be used says why, in upstream's words.
func TestClaimsThatCannotBeUsed(t *testing.T) {
	const head = "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to process volumes=[v]: "
	for _, tc := range []struct {
		name   string
		change func(*corev1.PersistentVolumeClaim, *corev1.PersistentVolume, *corev1.Pod)
		want   string
	}{
		{"pending", func(c *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume, _ *corev1.Pod) {
			c.Status.Phase = corev1.ClaimPending
		}, head + "error processing PVC ns/c: PVC is not bound"},
		{"going", func(c *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume, _ *corev1.Pod) {
			c.DeletionTimestamp = &metav1.Time{}
		}, head + "error processing PVC ns/c: PVC is being deleted"},
		{"another's volume", func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, _ *corev1.Pod) {
			pv.Spec.ClaimRef.UID = "x"
		},
			head + "error processing PVC ns/c: found PV object pv but its pv.Spec.ClaimRef.UID x does not point to claim.UID claim"},
		{"a device", func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, _ *corev1.Pod) {
			pv.Spec.VolumeMode = new(corev1.PersistentVolumeBlock)
		}, head + "volume v has volumeMode Block, but is specified in volumeMounts"},
		{"elsewhere", func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, _ *corev1.Pod) {
			pv.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpExists}}}}}}
		}, `MountVolume.NodeAffinity check failed for volume "pv" : no matching NodeSelectorTerms`},
		{"no directory", func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, _ *corev1.Pod) {
			pv.Spec.Local.Path = "/nowhere"
		}, `MountVolume.SetUp failed for volume "pv" : path "/nowhere" does not exist`},
		{"a driver's", func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, _ *corev1.Pod) { pv.Spec.Local = nil }, head + "no volume plugin matched"},
		{"of another pod", func(_ *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume, p *corev1.Pod) {
			p.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}
		}, head + "PVC ns/p-v was not created for pod ns/p (pod is not owner)"},
		{"unused", func(_ *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume, p *corev1.Pod) {
			p.Spec.Containers = nil
		}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pv, p := localVolume(t.TempDir()), claimer("u", false, nil)
			m := New(t.TempDir(), Sources{
				Claim: func(_ context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error) {
					c := boundClaim(namespace, name)
					tc.change(c, pv, p)
					return c, nil
				},
				Volume: func(context.Context, string) (*corev1.PersistentVolume, error) { return pv, nil },
				Node:   func() *corev1.Node { return &corev1.Node{} },
			})
			tc.change(&corev1.PersistentVolumeClaim{}, pv, p)
			got := ""
			if _, err := m.Mount(t.Context(), p); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("%q\nwant %q", got, tc.want)
			}
		})
	}
}

// What one pod writes the next reads; the first pod's group owns the volume, and a pod that asks for it cannot write.
func TestLocalVolumeOutlivesItsPods(t *testing.T) {
	needRoot(t)
	dir, disk := t.TempDir(), t.TempDir()
	var told []string
	src := (&watched{read: map[string]bool{}, disk: disk}).sources()
	src.Event = func(_ *corev1.Pod, _, reason, _ string, _ ...any) { told = append(told, reason) }
	m := New(dir, src)
	mount := func(p *corev1.Pod) string {
		t.Helper()
		t.Cleanup(func() { m.Unmount(p.UID) })
		got, err := m.Mount(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return got["v"].Path
	}
	first, group, other := claimer("one", false, new(int64(1234))), new(int64(1234)), new(int64(4321))
	path := mount(first)
	if want := filepath.Join(dir, "one/volumes/kubernetes.io~local-volume/pv"); path != want {
		t.Errorf("%s, want %s", path, want)
	}
	if err := os.WriteFile(filepath.Join(path, "f"), []byte("data"), 0o644); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(disk, &st); err != nil || int64(st.Gid) != *group || st.Mode&unix.S_ISGID == 0 {
		t.Errorf("%v, group %d, mode %o", err, st.Gid, st.Mode)
	}
	mount(claimer("two", false, other))
	if unix.Stat(disk, &st); int64(st.Gid) != *group || strings.Join(told, " ") != "AlreadyMountedVolume" {
		t.Errorf("group %d while the first pod has it, told %v", st.Gid, told)
	}
	for _, uid := range []types.UID{"one", "two"} {
		if err := m.Unmount(uid); err != nil {
			t.Fatal(err)
		}
	}
	path = mount(claimer("three", true, nil))
	if got, err := os.ReadFile(filepath.Join(path, "f")); err != nil || string(got) != "data" {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(path, "g"), nil, 0o644); err == nil {
		t.Error("written to what is read only")
	}
}

// By OnRootMismatch the files are left alone where the root is the group's already.
func TestGroupChangePolicy(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := claimer("u", false, new(int64(77)))
	p.Spec.SecurityContext.FSGroupChangePolicy = new(corev1.FSGroupChangeOnRootMismatch)
	group := func() int {
		var st unix.Stat_t
		if err := unix.Stat(file, &st); err != nil {
			t.Fatal(err)
		}
		return int(st.Gid)
	}
	m := mounting{pod: p}
	if err := m.ownPersistent(dir, 77); err != nil || group() != 77 {
		t.Fatalf("%v, group %d after the first start", err, group())
	}
	if err := os.Chown(file, -1, 5); err != nil {
		t.Fatal(err)
	}
	if err := m.ownPersistent(dir, 77); err != nil || group() != 5 {
		t.Errorf("%v, group %d though the root was right", err, group())
	}
	p.Spec.SecurityContext.FSGroupChangePolicy = nil
	if err := m.ownPersistent(dir, 77); err != nil || group() != 77 {
		t.Errorf("%v, group %d by the policy Always", err, group())
	}
}
