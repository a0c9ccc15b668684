package volume

import (
	"context"
	"fmt"
	"path"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// file is one file to show. uid is its owner, nil for root.
type file struct {
	data []byte
	mode int32
	uid  *int64
}

// payload is what a volume shows, by path below it.
type payload map[string]file

func (m *Manager) configMap(ctx context.Context, pod *corev1.Pod, p payload, name string, items []corev1.KeyToPath, optional *bool, defMode int32) error {
	cm, err := m.src.ConfigMap(ctx, pod.Namespace, name)
	opt := optional != nil && *optional
	if apierrors.IsNotFound(err) && opt {
		return nil
	}
	if err != nil {
		return err
	}
	data := make(map[string][]byte, len(cm.Data)+len(cm.BinaryData))
	for k, v := range cm.Data {
		data[k] = []byte(v)
	}
	for k, v := range cm.BinaryData {
		data[k] = v
	}
	return p.add(data, items, opt, defMode, "configmap references non-existent config key: %s")
}

func (m *Manager) secret(ctx context.Context, pod *corev1.Pod, p payload, name string, items []corev1.KeyToPath, optional *bool, defMode int32) error {
	s, err := m.src.Secret(ctx, pod.Namespace, name)
	opt := optional != nil && *optional
	if apierrors.IsNotFound(err) && opt {
		return nil
	}
	if err != nil {
		return err
	}
	return p.add(s.Data, items, opt, defMode, "references non-existent secret key: %s")
}

// add puts the keys of an object into the payload: all of them, or those that items choose.
func (p payload) add(data map[string][]byte, items []corev1.KeyToPath, opt bool, defMode int32, missing string) error {
	if len(items) == 0 {
		for k, v := range data {
			p[k] = file{data: v, mode: defMode}
		}
		return nil
	}
	for _, it := range items {
		v, ok := data[it.Key]
		if !ok {
			if opt {
				continue
			}
			return fmt.Errorf(missing, it.Key)
		}
		f := file{data: v, mode: defMode}
		if it.Mode != nil {
			f.mode = *it.Mode
		}
		p[path.Clean(it.Path)] = f
	}
	return nil
}

func (m *Manager) downward(pod *corev1.Pod, p payload, items []corev1.DownwardAPIVolumeFile, defMode int32) error {
	for _, it := range items {
		f := file{mode: defMode}
		if it.Mode != nil {
			f.mode = *it.Mode
		}
		var value string
		var err error
		switch {
		case it.FieldRef != nil:
			value, err = m.src.Field(pod, it.FieldRef.FieldPath)
		case it.ResourceFieldRef != nil:
			value, err = m.src.Resource(pod, it.ResourceFieldRef)
		}
		if err != nil {
			return err
		}
		f.data = []byte(value)
		p[path.Clean(it.Path)] = f
	}
	return nil
}

func (m *Manager) projected(ctx context.Context, pod *corev1.Pod, p payload, v *corev1.ProjectedVolumeSource) error {
	for _, s := range v.Sources {
		var err error
		switch {
		case s.ConfigMap != nil:
			err = m.configMap(ctx, pod, p, s.ConfigMap.Name, s.ConfigMap.Items, s.ConfigMap.Optional, mode(v.DefaultMode))
		case s.Secret != nil:
			err = m.secret(ctx, pod, p, s.Secret.Name, s.Secret.Items, s.Secret.Optional, mode(v.DefaultMode))
		case s.DownwardAPI != nil:
			err = m.downward(pod, p, s.DownwardAPI.Items, mode(v.DefaultMode))
		case s.ServiceAccountToken != nil:
			err = m.token(ctx, pod, p, s.ServiceAccountToken, mode(v.DefaultMode))
		default:
			err = fmt.Errorf("projected volume source is not supported")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type tokenKey struct {
	uid      types.UID
	audience string
	seconds  int64
}

type token struct {
	value string
	renew time.Time
}

// tokenMaxAge is the age at which a token is renewed whatever its life is.
const tokenMaxAge = 24 * time.Hour

func (m *Manager) token(ctx context.Context, pod *corev1.Pod, p payload, s *corev1.ServiceAccountTokenProjection, defMode int32) error {
	key := tokenKey{uid: pod.UID, audience: s.Audience, seconds: 3600}
	if s.ExpirationSeconds != nil {
		key.seconds = *s.ExpirationSeconds
	}
	f := file{mode: defMode, uid: commonUser(pod)}
	if f.uid != nil || pod.Spec.SecurityContext != nil && pod.Spec.SecurityContext.FSGroup != nil {
		f.mode = 0o600
	}
	m.mu.Lock()
	t, ok := m.mu.tokens[key]
	m.mu.Unlock()
	if now := time.Now(); !ok || !now.Before(t.renew) {
		req := &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{ExpirationSeconds: &key.seconds,
			BoundObjectRef: &authv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID}}}
		if s.Audience != "" {
			req.Spec.Audiences = []string{s.Audience}
		}
		res, err := m.src.Token(ctx, pod, req)
		if err != nil {
			return fmt.Errorf("failed to fetch token: %w", err)
		}
		life := min(res.Status.ExpirationTimestamp.Sub(now)*4/5, tokenMaxAge)
		t = token{value: res.Status.Token, renew: now.Add(life)}
		m.mu.Lock()
		m.mu.tokens[key] = t
		m.mu.Unlock()
	}
	f.data = []byte(t.value)
	p[path.Clean(s.Path)] = f
	return nil
}

func (m *Manager) forgetTokens(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.mu.tokens {
		if key.uid == uid {
			delete(m.mu.tokens, key)
		}
	}
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
