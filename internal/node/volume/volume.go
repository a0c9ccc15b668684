package volume

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Sources is where the contents of volumes come from.
type Sources struct {
	ConfigMap func(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error)
	Secret    func(ctx context.Context, namespace, name string) (*corev1.Secret, error)
	Token     func(ctx context.Context, pod *corev1.Pod, req *authv1.TokenRequest) (*authv1.TokenRequest, error)
	Field     func(pod *corev1.Pod, path string) (string, error)
	Resource  func(pod *corev1.Pod, ref *corev1.ResourceFieldSelector) (string, error)
	// MemorySize is the limit of a memory-backed emptyDir in bytes, 0 for the kernel's default (half of the memory).
	MemorySize func(pod *corev1.Pod, v *corev1.EmptyDirVolumeSource) int64
}

// Mounted is a volume that is present.
type Mounted struct {
	Path     string // on the host
	ReadOnly bool   // containers may not write to it, whatever they ask for
}

// Manager makes and removes volumes.
type Manager struct {
	pods string // <root>/pods
	src  Sources

	mu struct {
		sync.Mutex
		tokens map[tokenKey]token
	}
}

// New returns a manager of volumes below podsDir (<kubelet root>/pods).
func New(podsDir string, src Sources) *Manager {
	m := &Manager{pods: podsDir, src: src}
	m.mu.tokens = map[tokenKey]token{}
	return m
}

// dir is where a volume of a pod lives, by upstream's plugin names.
func (m *Manager) dir(pod *corev1.Pod, plugin, name string) string {
	return filepath.Join(m.pods, string(pod.UID), "volumes", "kubernetes.io~"+plugin, name)
}

// Mount makes all volumes of a pod present and up to date. The error names the volume as upstream's FailedMount events do;
// the volumes that could be made are in the result all the same.
func (m *Manager) Mount(ctx context.Context, pod *corev1.Pod) (map[string]Mounted, error) {
	out := make(map[string]Mounted, len(pod.Spec.Volumes))
	var failed error
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		got, err := m.mount(ctx, pod, v)
		if err != nil {
			if failed == nil {
				failed = &Error{Volume: v.Name, Err: err}
			}
			continue
		}
		if got.Path != "" {
			out[v.Name] = got
		}
	}
	return out, failed
}

// Error says which volume could not be set up.
type Error struct {
	Volume string
	Err    error
}

func (e *Error) Error() string {
	return fmt.Sprintf("MountVolume.SetUp failed for volume %q : %v", e.Volume, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

func (m *Manager) mount(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (Mounted, error) {
	switch {
	case v.EmptyDir != nil:
		return m.emptyDir(pod, v)
	case v.HostPath != nil:
		return Mounted{Path: v.HostPath.Path}, checkHostPath(v.HostPath)
	case v.ConfigMap != nil:
		p := payload{}
		if err := m.configMap(ctx, pod, p, v.ConfigMap.Name, v.ConfigMap.Items, v.ConfigMap.Optional, mode(v.ConfigMap.DefaultMode)); err != nil {
			return Mounted{}, err
		}
		return m.show(pod, "configmap", v.Name, false, p)
	case v.Secret != nil:
		p := payload{}
		if err := m.secret(ctx, pod, p, v.Secret.SecretName, v.Secret.Items, v.Secret.Optional, mode(v.Secret.DefaultMode)); err != nil {
			return Mounted{}, err
		}
		return m.show(pod, "secret", v.Name, true, p)
	case v.DownwardAPI != nil:
		p := payload{}
		if err := m.downward(pod, p, v.DownwardAPI.Items, mode(v.DownwardAPI.DefaultMode)); err != nil {
			return Mounted{}, err
		}
		return m.show(pod, "downward-api", v.Name, true, p)
	case v.Projected != nil:
		p := payload{}
		if err := m.projected(ctx, pod, p, v.Projected); err != nil {
			return Mounted{}, err
		}
		return m.show(pod, "projected", v.Name, true, p)
	case v.Image != nil:
		return Mounted{}, nil // the runtime mounts it
	}
	return Mounted{}, fmt.Errorf("no volume plugin matched")
}

// Refs calls configMap and secret with the names of all objects that a pod's volumes show, so that they can be watched.
func Refs(pod *corev1.Pod, configMap, secret func(name string)) {
	for i := range pod.Spec.Volumes {
		switch v := &pod.Spec.Volumes[i]; {
		case v.ConfigMap != nil:
			configMap(v.ConfigMap.Name)
		case v.Secret != nil:
			secret(v.Secret.SecretName)
		case v.Projected != nil:
			for _, s := range v.Projected.Sources {
				if s.ConfigMap != nil {
					configMap(s.ConfigMap.Name)
				}
				if s.Secret != nil {
					secret(s.Secret.Name)
				}
			}
		}
	}
}

// Refresh returns when the contents of a pod's volumes should be renewed without anything telling: when the first of its
// tokens has lived four fifths of its life. ok is false for pods without tokens.
func (m *Manager) Refresh(uid types.UID) (at time.Time, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, t := range m.mu.tokens {
		if key.uid == uid && (!ok || t.renew.Before(at)) {
			at, ok = t.renew, true
		}
	}
	return at, ok
}

func mode(m *int32) int32 {
	if m == nil {
		return 0o644
	}
	return *m
}
