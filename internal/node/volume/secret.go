package volume

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// secret shows the keys of a Secret, in memory only.
type secret struct{}

func (secret) handles(v *corev1.Volume) bool { return v.Secret != nil }

func (secret) shows(v *corev1.Volume, _, secret func(string)) { secret(v.Secret.SecretName) }

func (secret) mount(ctx context.Context, m mounting) (Mounted, error) {
	v, p := m.volume.Secret, payload{}
	if err := m.addSecret(ctx, p, v.SecretName, v.Items, v.Optional, mode(v.DefaultMode)); err != nil {
		return Mounted{}, err
	}
	return m.show("secret", true, p)
}

// addSecret adds the keys of a Secret to p. One that is optional may be missing.
func (m mounting) addSecret(ctx context.Context, p payload, name string, items []corev1.KeyToPath, optional *bool, defMode int32) error {
	s, err := m.src.Secret(ctx, m.pod.Namespace, name)
	opt := optional != nil && *optional
	if apierrors.IsNotFound(err) && opt {
		return nil
	}
	if err != nil {
		return err
	}
	return p.add(s.Data, items, opt, defMode, "references non-existent secret key: %s")
}
