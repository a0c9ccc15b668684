package volume

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/node/csi"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// claim is a volume that a claim has been given: of the pod's choice, or made for the pod (generic ephemeral). What the persistent volume
// is decides what is done (persistents).
type claim struct{ alone }

func (claim) handles(v *corev1.Volume) bool {
	return v.PersistentVolumeClaim != nil || v.Ephemeral != nil
}

// persistent is a kind of persistent volume.
type persistent interface {
	has(pv *corev1.PersistentVolume) bool
	mountPersistent(ctx context.Context, m mounting, pv *corev1.PersistentVolume, readOnly bool) (Mounted, error)
}

// persistents are all kinds of persistent volumes.
var persistents = []persistent{local{}, hostPath{}, nfs{}, driven{}}

func (claim) mount(ctx context.Context, m mounting) (Mounted, error) {
	mounts, devices := used(m.pod, m.volume.Name)
	if !mounts && !devices {
		return Mounted{}, nil // no container has it
	}
	pv, err := m.claimed(ctx)
	if err != nil {
		return Mounted{}, &unready{volume: m.volume.Name, err: err}
	}
	mode := ptr.Deref(pv.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	switch {
	case mounts && mode != corev1.PersistentVolumeFilesystem:
		return Mounted{}, &unready{volume: m.volume.Name, err: fmt.Errorf("volume %s has volumeMode %s, but is specified in volumeMounts", m.volume.Name, mode)}
	case devices && mode != corev1.PersistentVolumeBlock:
		return Mounted{}, &unready{volume: m.volume.Name, err: fmt.Errorf("volume %s has volumeMode %s, but is specified in volumeDevices", m.volume.Name, mode)}
	}
	if err := volumes.OnNode(pv, m.src.Node()); err != nil {
		return Mounted{}, &Error{Volume: pv.Name, Err: err, step: "NodeAffinity check"}
	}
	for _, kind := range persistents {
		if kind.has(pv) {
			got, err := kind.mountPersistent(ctx, m, pv, m.readOnly())
			if err != nil {
				return got, m.stepOf(pv.Name, err)
			}
			return got, nil
		}
	}
	return Mounted{}, &unready{volume: m.volume.Name, err: errors.New("no volume plugin matched")}
}

// readOnly reports whether the pod asks for its claim to be read only.
func (m mounting) readOnly() bool {
	return m.volume.PersistentVolumeClaim != nil && m.volume.PersistentVolumeClaim.ReadOnly
}

// unready is a volume that cannot be set up as long as the cluster is as it is.
type unready struct {
	volume string
	err    error
	attach bool // it is not attached yet: there was nothing to fail
}

func (e *unready) Error() string {
	if e.attach {
		return fmt.Sprintf("Unable to attach or mount volumes: unmounted volumes=[%s], unattached volumes=[%s], failed to process volumes=[]: %v", e.volume, e.volume, e.err)
	}
	return fmt.Sprintf("Unable to attach or mount volumes: unmounted volumes=[%s], unattached volumes=[], failed to process volumes=[%s]: %v", e.volume, e.volume, e.err)
}

func (e *unready) Unwrap() error { return e.err }

// used reports whether containers of a pod mount a volume, and whether they have it as a device.
func used(pod *corev1.Pod, name string) (mounts, devices bool) {
	look := func(c *corev1.Container) {
		mounts = mounts || slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == name })
		devices = devices || slices.ContainsFunc(c.VolumeDevices, func(d corev1.VolumeDevice) bool { return d.Name == name })
	}
	for i := range pod.Spec.InitContainers {
		look(&pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		look(&pod.Spec.Containers[i])
	}
	return mounts, devices
}

// claimed returns the persistent volume that the pod's claim has. It is asked for once.
func (m mounting) claimed(ctx context.Context) (*corev1.PersistentVolume, error) {
	if pv := m.bound.get(m.pod.UID, m.volume.Name); pv != nil {
		return pv, nil
	}
	_, pv, err := m.lookAtClaim(ctx)
	if err != nil {
		return nil, err
	}
	m.bound.set(m.pod.UID, m.volume.Name, pv)
	return pv, nil
}

// lookAtClaim reads the pod's claim and the volume that it has.
func (m mounting) lookAtClaim(ctx context.Context) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume, error) {
	name, own := volumes.ClaimOf(m.pod, m.volume)
	pvc, pv, err := m.src.lookUp(ctx, m.pod.Namespace, name)
	if err != nil {
		return nil, nil, fmt.Errorf("error processing PVC %s/%s: %w", m.pod.Namespace, name, err)
	}
	if own {
		if err := volumes.MadeFor(m.pod, pvc); err != nil {
			return nil, nil, err
		}
	}
	return pvc, pv, nil
}

// lookUp reads a claim and its volume, and verifies that they are each other's.
func (s *Sources) lookUp(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume, error) {
	pvc, err := s.Claim(ctx, namespace, name)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("failed to fetch PVC from API server: %w", err)
	case pvc.DeletionTimestamp != nil && !slices.Contains(pvc.Finalizers, "kubernetes.io/pvc-protection"):
		return nil, nil, errors.New("PVC is being deleted")
	case pvc.Status.Phase != corev1.ClaimBound:
		return nil, nil, errors.New("PVC is not bound")
	case pvc.Spec.VolumeName == "":
		return nil, nil, errors.New("PVC has empty pvc.Spec.VolumeName")
	}
	pv, err := s.Volume(ctx, pvc.Spec.VolumeName)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("failed to fetch PV %s from API server: %w", pvc.Spec.VolumeName, err)
	case pv.Spec.ClaimRef == nil:
		return nil, nil, fmt.Errorf("found PV object %s but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim", pv.Name)
	case pv.Spec.ClaimRef.UID != pvc.UID:
		return nil, nil, fmt.Errorf("found PV object %s but its pv.Spec.ClaimRef.UID %s does not point to claim.UID %s", pv.Name, pv.Spec.ClaimRef.UID, pvc.UID)
	}
	return pvc, pv, nil
}

// Usage is how full a volume is that a claim has, or that a CSI driver makes for the pod.
type Usage struct {
	Volume string // its name in the pod
	Claim  string // in the pod's namespace; "" for a driver's volume of the pod's own
	csi.Usage
}

// Usage says how full a pod's volumes are, those that are there: a driver's as the driver says, others as their file system is. Volumes of the machine's own
// (hostPath) and block devices without a driver have no figures, as with upstream.
func (m *Manager) Usage(ctx context.Context, pod *corev1.Pod) (out []Usage) {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		name, _ := volumes.ClaimOf(pod, v)
		pv := m.bound.get(pod.UID, v.Name)
		u, ok := csi.Usage{}, false
		switch {
		case v.CSI != nil && m.src.CSI != nil:
			u, ok = m.src.CSI.Usage(ctx, pod.UID, v.Name)
		case pv == nil:
		case pv.Spec.CSI != nil && m.src.CSI != nil:
			u, ok = m.src.CSI.Usage(ctx, pod.UID, pv.Name)
		case pv.Spec.Local != nil:
			u, ok = fileSystem(filepath.Join(m.pods, string(pod.UID), "volumes", "kubernetes.io~local-volume", pv.Name))
		case pv.Spec.NFS != nil:
			u, ok = fileSystem(filepath.Join(m.pods, string(pod.UID), "volumes", "kubernetes.io~nfs", pv.Name))
		}
		if ok {
			out = append(out, Usage{v.Name, name, u})
		}
	}
	return out
}

// fileSystem is how full the file system at a path is.
func fileSystem(path string) (u csi.Usage, ok bool) {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return u, false
	}
	size := int64(st.Bsize)
	return csi.Usage{Total: int64(st.Blocks) * size, Used: int64(st.Blocks-st.Bfree) * size, Free: int64(st.Bavail) * size,
		Inodes: int64(st.Files), InodesUsed: int64(st.Files - st.Ffree), InodesFree: int64(st.Ffree), At: time.Now()}, true
}

// bound are the persistent volumes that pods' claims were found to have, so that looking at a volume again asks for nothing.
type bound struct {
	mu struct {
		sync.Mutex
		of map[types.UID]map[string]*corev1.PersistentVolume // by pod and name of its volume
	}
}

func newBound() *bound {
	b := &bound{}
	b.mu.of = map[types.UID]map[string]*corev1.PersistentVolume{}
	return b
}

func (b *bound) get(pod types.UID, volume string) *corev1.PersistentVolume {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.of[pod][volume]
}

func (b *bound) set(pod types.UID, volume string, pv *corev1.PersistentVolume) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.of[pod] == nil {
		b.mu.of[pod] = map[string]*corev1.PersistentVolume{}
	}
	b.mu.of[pod][volume] = pv
}

func (b *bound) forget(pod types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.mu.of, pod)
}
