package volume

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"sampan.dev/internal/node/csi"

	"golang.org/x/sys/unix"
	authv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Sources is where the contents of volumes come from.
type Sources struct {
	ConfigMap func(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error)
	Secret    func(ctx context.Context, namespace, name string) (*corev1.Secret, error)
	Token     TokenSource
	// TrustBundles are all that there are; nil where there is no hub.
	TrustBundles func(ctx context.Context) ([]*certificatesv1.ClusterTrustBundle, error)
	// Certificate is the key and the chain of the certificate that the index-th source of a pod's projected volume asks for, as PEM. It
	// may wait a moment for its issue. nil where there is no hub.
	Certificate func(ctx context.Context, pod *corev1.Pod, volume string, index int) (key, chain []byte, err error)
	// CertificateDue is when the first of a pod's certificates is to be renewed; ok is false for a pod without any.
	CertificateDue func(uid types.UID) (at time.Time, ok bool)
	Field          func(pod *corev1.Pod, path string) (string, error)
	Resource       func(pod *corev1.Pod, ref *corev1.ResourceFieldSelector) (string, error)
	// MemorySize is the limit of a memory-backed emptyDir in bytes, 0 for the kernel's default (half of the memory).
	MemorySize func(pod *corev1.Pod, v *corev1.EmptyDirVolumeSource) int64

	// Claim and Volume read the hub; nil without one. Node is this node, whose labels say which volumes it reaches.
	Claim  func(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error)
	Volume func(ctx context.Context, name string) (*corev1.PersistentVolume, error)
	Node   func() *corev1.Node
	// Make makes the directory of a volume that the cluster's own provisioner keeps on this node, and does nothing for others; nil: there is none.
	Make func(pv *corev1.PersistentVolume) error
	// CSI makes the volumes of CSI drivers; nil where there can be none.
	CSI *csi.Manager
	// Event tells people of a pod what is no error; nil: nobody.
	Event func(pod *corev1.Pod, kind, reason, format string, args ...any)
}

// TokenSource asks the hub for a token of a pod's service account.
type TokenSource func(ctx context.Context, pod *corev1.Pod, req *authv1.TokenRequest) (*authv1.TokenRequest, error)

// Mounted is a volume that is present.
type Mounted struct {
	Path     string // on the host; "" for a device
	Device   string // on the host; "" for a file system
	ReadOnly bool   // containers may not write to it, whatever they ask for
}

// mounting is one call of a plugin: a volume of a pod, and what it is made with.
type mounting struct {
	pod    *corev1.Pod
	volume *corev1.Volume
	src    Sources
	tokens *tokens
	bound  *bound
	pods   string // <root>/pods
}

// dir is where the volume lives, by upstream's plugin names.
func (m mounting) dir(plugin string) string {
	return filepath.Join(m.pods, string(m.pod.UID), "volumes", "kubernetes.io~"+plugin, m.volume.Name)
}

// persistentDir is where a persistent volume is shown to the pod.
func (m mounting) persistentDir(plugin string, pv *corev1.PersistentVolume) string {
	return filepath.Join(m.pods, string(m.pod.UID), "volumes", "kubernetes.io~"+plugin, pv.Name)
}

// fsGroup is the group that owns a pod's volumes, nil when the pod does not say.
func fsGroup(pod *corev1.Pod) *int64 {
	if sc := pod.Spec.SecurityContext; sc != nil {
		return sc.FSGroup
	}
	return nil
}

// alone is for the volumes that show no objects.
type alone struct{}

func (alone) shows(*corev1.Volume, func(string), func(string)) {}

// ownPersistent gives a volume that outlives the pod to its fsGroup. By the policy OnRootMismatch nothing is done where the root has the
// group and the mode already: a walk over millions of files at each start takes minutes.
func (m mounting) ownPersistent(dir string, gid int64) error {
	if p := m.pod.Spec.SecurityContext.FSGroupChangePolicy; p != nil && *p == corev1.FSGroupChangeOnRootMismatch && ownedRoot(dir, gid) {
		return nil
	}
	return own(dir, gid, false)
}

// ownedRoot reports whether own has been here: the root belongs to the group, which may read, write and search it, and passes it on.
func ownedRoot(dir string, gid int64) bool {
	var st unix.Stat_t
	const mode = 0o770 | unix.S_ISGID
	return unix.Stat(dir, &st) == nil && int64(st.Gid) == gid && st.Mode&mode == mode
}

// own gives a tree to a group, as upstream does for fsGroup: group-owned, readable (and writable unless readonly) for the
// group, directories searchable and setgid so that new files belong to the group too.
func own(dir string, gid int64, readonly bool) error {
	mask := fs.FileMode(0o660)
	if readonly {
		mask = 0o440
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if err := os.Lchown(path, -1, int(gid)); err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return nil
		}
		m := info.Mode() | mask
		if info.IsDir() {
			m |= fs.ModeSetgid | 0o110
		}
		return os.Chmod(path, m&(fs.ModePerm|fs.ModeSetgid|fs.ModeSetuid|fs.ModeSticky))
	})
}
