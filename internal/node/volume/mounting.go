package volume

import (
	"context"
	"path/filepath"
	"time"

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
}

// TokenSource asks the hub for a token of a pod's service account.
type TokenSource func(ctx context.Context, pod *corev1.Pod, req *authv1.TokenRequest) (*authv1.TokenRequest, error)

// Mounted is a volume that is present.
type Mounted struct {
	Path     string // on the host
	ReadOnly bool   // containers may not write to it, whatever they ask for
}

// mounting is one call of a plugin: a volume of a pod, and what it is made with.
type mounting struct {
	pod    *corev1.Pod
	volume *corev1.Volume
	src    Sources
	tokens *tokens
	pods   string // <root>/pods
}

// dir is where the volume lives, by upstream's plugin names.
func (m mounting) dir(plugin string) string {
	return filepath.Join(m.pods, string(m.pod.UID), "volumes", "kubernetes.io~"+plugin, m.volume.Name)
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
