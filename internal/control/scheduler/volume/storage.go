package volume

import (
	"context"

	"sampan.dev/internal/control/scheduler/plugin"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// Storage is what the plugins see of the cluster beside the pod and the node at hand, and what they write. Every goroutine may call its
// functions.
type Storage struct {
	Claim       func(namespace, name string) (*corev1.PersistentVolumeClaim, bool)
	Volume      func(name string) (*corev1.PersistentVolume, bool)
	OfClass     func(class string) []*corev1.PersistentVolume
	Class       func(name string) (*storagev1.StorageClass, bool)
	CSINode     func(node string) (*storagev1.CSINode, bool)
	Driver      func(name string) (*storagev1.CSIDriver, bool)
	Capacities  func() []*storagev1.CSIStorageCapacity
	Attachments func(node string) []*storagev1.VolumeAttachment
	Node        func(name string) (*corev1.Node, bool)
	Pod         func(namespace, name string) (*corev1.Pod, bool)

	UpdateVolume func(ctx context.Context, pv *corev1.PersistentVolume) (*corev1.PersistentVolume, error)
	UpdateClaim  func(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*corev1.PersistentVolumeClaim, error)
	// Await asks done now and after each change of a claim, a volume or the pod, until it says yes or fails, or ctx ends.
	Await func(ctx context.Context, done func() (bool, error)) error
}

// fits is embedded by plugins that let every pod pass that is signed: their answers are not asked for again when pods come and go.
type fits struct{}

// Static implements plugin.Static.
func (fits) Static() {}

// Sign implements plugin.Signed.
func (fits) Sign(s *plugin.Signer) {
	if p := s.Pod(); p.Claimed || p.Disks {
		s.Refuse()
	}
}
