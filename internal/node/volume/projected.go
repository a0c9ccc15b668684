package volume

import (
	"context"
	"errors"
	"path"

	corev1 "k8s.io/api/core/v1"
)

// projected shows several sources in one directory: objects, fields of the pod, tokens of its service account, certificates.
type projected struct{}

func (projected) handles(v *corev1.Volume) bool { return v.Projected != nil }

func (projected) shows(v *corev1.Volume, configMap, secret func(string)) {
	for _, s := range v.Projected.Sources {
		if s.ConfigMap != nil {
			configMap(s.ConfigMap.Name)
		}
		if s.Secret != nil {
			secret(s.Secret.Name)
		}
	}
}

func (projected) mount(ctx context.Context, m mounting) (Mounted, error) {
	v, p := m.volume.Projected, payload{}
	for i := range v.Sources {
		if err := m.addSource(ctx, p, i, &v.Sources[i], mode(v.DefaultMode)); err != nil {
			return Mounted{}, err
		}
	}
	return m.show("projected", true, p)
}

func (m mounting) addSource(ctx context.Context, p payload, index int, s *corev1.VolumeProjection, defMode int32) error {
	switch {
	case s.ConfigMap != nil:
		return m.addConfigMap(ctx, p, s.ConfigMap.Name, s.ConfigMap.Items, s.ConfigMap.Optional, defMode)
	case s.Secret != nil:
		return m.addSecret(ctx, p, s.Secret.Name, s.Secret.Items, s.Secret.Optional, defMode)
	case s.DownwardAPI != nil:
		return m.addDownward(p, s.DownwardAPI.Items, defMode)
	case s.ServiceAccountToken != nil:
		return m.addToken(ctx, p, s.ServiceAccountToken, defMode)
	case s.ClusterTrustBundle != nil:
		return m.addTrust(ctx, p, s.ClusterTrustBundle, defMode)
	case s.PodCertificate != nil:
		return m.addCertificate(ctx, p, index, s.PodCertificate, defMode)
	}
	return errors.New("projected volume source is not supported")
}

// addToken adds a token of the pod's service account to p. Where all containers run as one user the file is that user's alone.
func (m mounting) addToken(ctx context.Context, p payload, s *corev1.ServiceAccountTokenProjection, defMode int32) error {
	seconds := int64(3600)
	if s.ExpirationSeconds != nil {
		seconds = *s.ExpirationSeconds
	}
	token, err := m.tokens.get(ctx, m.src.Token, m.pod, s.Audience, seconds)
	if err != nil {
		return err
	}
	p[path.Clean(s.Path)] = m.private([]byte(token.Token), defMode)
	return nil
}

// commonUser is the user that all containers of a pod run as, nil when they differ or do not say.
func commonUser(pod *corev1.Pod) *int64 {
	var common *int64
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			var user *int64
			if sc := pod.Spec.SecurityContext; sc != nil {
				user = sc.RunAsUser
			}
			if sc := list[i].SecurityContext; sc != nil && sc.RunAsUser != nil {
				user = sc.RunAsUser
			}
			if user == nil || common != nil && *common != *user {
				return nil
			}
			common = user
		}
	}
	return common
}
