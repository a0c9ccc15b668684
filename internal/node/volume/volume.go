package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Manager makes and removes volumes.
type Manager struct {
	pods   string // <root>/pods
	src    Sources
	tokens *tokens
	bound  *bound
}

// New returns a manager of volumes below podsDir (<kubelet root>/pods).
func New(podsDir string, src Sources) *Manager {
	return &Manager{pods: podsDir, src: src, tokens: newTokens(), bound: newBound()}
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
				failed = named(v.Name, err)
			}
			continue
		}
		if got.Path != "" || got.Device != "" {
			out[v.Name] = got
		}
	}
	return out, failed
}

// named is an error with the volume's name, unless it says itself what it is about.
func named(volume string, err error) error {
	var of *Error
	var not *unready
	if errors.As(err, &of) || errors.As(err, &not) {
		return err
	}
	return &Error{Volume: volume, Err: err}
}

// Error says which volume could not be set up.
type Error struct {
	Volume string
	Err    error
	step   string // "" means SetUp
}

func (e *Error) Error() string {
	if strings.HasPrefix(e.step, "MapVolume.") {
		return fmt.Sprintf("%s failed for volume %q : %v", e.step, e.Volume, e.Err)
	}
	return fmt.Sprintf("MountVolume.%s failed for volume %q : %v", cmp.Or(e.step, "SetUp"), e.Volume, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// mount has a volume made by the plugin of its kind.
func (m *Manager) mount(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (Mounted, error) {
	for _, p := range plugins {
		if p.handles(v) {
			return p.mount(ctx, mounting{pod: pod, volume: v, src: m.src, tokens: m.tokens, bound: m.bound, pods: m.pods})
		}
	}
	return Mounted{}, errors.New("no volume plugin matched")
}

// Refs calls configMap and secret with the names of all objects that a pod's volumes show, so that they can be watched.
func Refs(pod *corev1.Pod, configMap, secret func(name string)) {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		for _, p := range plugins {
			if p.handles(v) {
				p.shows(v, configMap, secret)
				break
			}
		}
	}
}

// Refresh returns when the contents of a pod's volumes should be renewed without anything telling: when the first of its
// tokens has lived four fifths of its life, a certificate is to be renewed, or a CSI driver is to be called again. ok is false for pods that have neither.
func (m *Manager) Refresh(uid types.UID) (at time.Time, ok bool) {
	due := []func(types.UID) (time.Time, bool){m.tokens.due}
	if m.src.CertificateDue != nil {
		due = append(due, m.src.CertificateDue)
	}
	if m.src.CSI != nil {
		due = append(due, m.src.CSI.Due)
	}
	for _, of := range due {
		if other, also := of(uid); also && (!ok || other.Before(at)) {
			at, ok = other, true
		}
	}
	return at, ok
}
