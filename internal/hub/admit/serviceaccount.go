package admit

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/watch"
)

// serviceAccount gives a pod its service account, the account's token as a projected volume, and its pull secrets.
type serviceAccount struct{ look lookup }

const (
	tokenMountPath = "/var/run/secrets/kubernetes.io/serviceaccount"
	tokenVolume    = "kube-api-access-"
	// tokenSeconds is the hour that means "a year, and warn" (hub/authn).
	tokenSeconds = 60*60 + 7
	// waitDefault is how long a pod waits for its new namespace's default account, which a controller makes.
	waitDefault = 2 * time.Second
)

func (*serviceAccount) Name() string { return "ServiceAccount" }

func (s *serviceAccount) Admit(ctx context.Context, a *Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || !a.is("", "pods", "") || a.Operation != Create {
		return nil
	}
	if pods.IsMirror(pod) {
		return mirrorPod(a, pod)
	}
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName = "default"
		pod.Spec.DeprecatedServiceAccount = "default"
	}
	sa, err := s.account(ctx, a.Namespace, pod.Spec.ServiceAccountName)
	if err != nil {
		return accountError(a, pod, err)
	}
	if automounts(sa, pod) {
		mountToken(pod)
	}
	if len(pod.Spec.ImagePullSecrets) == 0 && len(sa.ImagePullSecrets) > 0 {
		pod.Spec.ImagePullSecrets = append([]corev1.LocalObjectReference{}, sa.ImagePullSecrets...)
	}
	return s.Validate(ctx, a)
}

func (s *serviceAccount) Validate(ctx context.Context, a *Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return nil
	}
	ephemeral := a.Operation == Update && a.is("", "pods", "ephemeralcontainers")
	if !ephemeral && (a.Operation != Create || !a.is("", "pods", "")) {
		return nil
	}
	if pods.IsMirror(pod) && !ephemeral {
		return mirrorPod(a, pod)
	}
	if pod.Spec.ServiceAccountName == "" {
		return forbidden(a, "no service account specified for pod %s/%s", a.Namespace, pod.Name)
	}
	sa, err := s.account(ctx, a.Namespace, pod.Spec.ServiceAccountName)
	if err != nil {
		return accountError(a, pod, err)
	}
	if enforce, _ := strconv.ParseBool(sa.Annotations["kubernetes.io/enforce-mountable-secrets"]); !enforce {
		return nil
	}
	if err := mountableSecrets(sa, pod, ephemeral); err != nil {
		return forbidden(a, "%w", err)
	}
	return nil
}

func accountError(a *Attributes, pod *corev1.Pod, err error) error {
	return forbidden(a, "error looking up service account %s/%s: %w", a.Namespace, pod.Spec.ServiceAccountName, err)
}

// account reads a service account. That called default is waited for a little.
func (s *serviceAccount) account(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	sa, err := find[*corev1.ServiceAccount](ctx, s.look, client.ServiceAccounts, namespace, name)
	if apierrors.IsNotFound(err) && name == "default" {
		if sa = s.await(ctx, namespace, name); sa != nil {
			return sa, nil
		}
	}
	if apierrors.IsNotFound(err) {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "serviceaccount"}, name)
	}
	return sa, err
}

func (s *serviceAccount) await(ctx context.Context, namespace, name string) *corev1.ServiceAccount {
	ctx, cancel := context.WithTimeout(ctx, waitDefault)
	defer cancel()
	w, err := s.look.door.Watch(ctx, client.Ref{Resource: client.ServiceAccounts, Namespace: namespace}, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String(),
	})
	if err != nil {
		return nil
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.ResultChan():
			if !ok {
				return nil
			}
			if sa, ok := e.Object.(*corev1.ServiceAccount); ok && (e.Type == watch.Added || e.Type == watch.Modified) && sa.Name == name {
				return sa
			}
		}
	}
}

// mirrorPod refuses what would give a node, which writes mirror pods, a way to other objects.
func mirrorPod(a *Attributes, pod *corev1.Pod) error {
	if pod.Spec.ServiceAccountName != "" {
		return forbidden(a, "a mirror pod may not reference service accounts")
	}
	if r := apiReference(pod); strings.HasPrefix(r, "secrets") {
		return forbidden(a, "a mirror pod may not reference secrets")
	}
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, src := range v.Projected.Sources {
			if src.ServiceAccountToken != nil {
				return forbidden(a, "a mirror pod may not use ServiceAccountToken volume projections")
			}
		}
	}
	return nil
}

// automounts: the pod's wish comes before its account's; the default is yes.
func automounts(sa *corev1.ServiceAccount, pod *corev1.Pod) bool {
	if pod.Spec.AutomountServiceAccountToken != nil {
		return *pod.Spec.AutomountServiceAccountToken
	}
	return sa.AutomountServiceAccountToken == nil || *sa.AutomountServiceAccountToken
}

// mountToken mounts the token volume in every container that has nothing at its place, and adds the volume if it is used.
func mountToken(pod *corev1.Pod) {
	name, has := "", false
	for _, v := range pod.Spec.Volumes {
		if strings.HasPrefix(v.Name, tokenVolume) {
			name, has = v.Name, true
			break
		}
	}
	if name == "" {
		name = tokenVolume + utilrand.String(5)
	}
	used := false
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if !mounts(&list[i]) {
				list[i].VolumeMounts = append(list[i].VolumeMounts, corev1.VolumeMount{Name: name, ReadOnly: true, MountPath: tokenMountPath})
				used = true
			}
		}
	}
	if used && !has {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: tokenSource()}})
	}
}

func mounts(c *corev1.Container) bool {
	for _, m := range c.VolumeMounts {
		if m.MountPath == tokenMountPath {
			return true
		}
	}
	return false
}

func tokenSource() *corev1.ProjectedVolumeSource {
	mode, seconds := corev1.ProjectedVolumeSourceDefaultMode, int64(tokenSeconds)
	return &corev1.ProjectedVolumeSource{
		DefaultMode: &mode,
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &seconds}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
				Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
				Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"},
			}}}},
		},
	}
}

// mountableSecrets holds a pod to the secrets its account lists, where the account demands that.
func mountableSecrets(sa *corev1.ServiceAccount, pod *corev1.Pod, ephemeralOnly bool) error {
	may := map[string]bool{}
	for _, s := range sa.Secrets {
		may[s.Name] = true
	}
	check := func(kind, name string, env []corev1.EnvVar, from []corev1.EnvFromSource) error {
		for _, e := range env {
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && !may[e.ValueFrom.SecretKeyRef.Name] {
				return fmt.Errorf("%s %s with envVar %s referencing secret.secretName=\"%s\" is not allowed because service account %s does not reference that secret",
					kind, name, e.Name, e.ValueFrom.SecretKeyRef.Name, sa.Name)
			}
		}
		for _, f := range from {
			if f.SecretRef != nil && !may[f.SecretRef.Name] {
				return fmt.Errorf("%s %s with envFrom referencing secret.secretName=\"%s\" is not allowed because service account %s does not reference that secret",
					kind, name, f.SecretRef.Name, sa.Name)
			}
		}
		return nil
	}
	if ephemeralOnly {
		for _, c := range pod.Spec.EphemeralContainers {
			if err := check("ephemeral container", c.Name, c.Env, c.EnvFrom); err != nil {
				return err
			}
		}
		return nil
	}
	for _, v := range pod.Spec.Volumes {
		if v.Secret != nil && !may[v.Secret.SecretName] {
			return fmt.Errorf("volume with secret.secretName=\"%s\" is not allowed because service account %s does not reference that secret", v.Secret.SecretName, sa.Name)
		}
	}
	for _, c := range pod.Spec.InitContainers {
		if err := check("init container", c.Name, c.Env, c.EnvFrom); err != nil {
			return err
		}
	}
	for _, c := range pod.Spec.Containers {
		if err := check("container", c.Name, c.Env, c.EnvFrom); err != nil {
			return err
		}
	}
	pull := map[string]bool{}
	for _, s := range sa.ImagePullSecrets {
		pull[s.Name] = true
	}
	for i, s := range pod.Spec.ImagePullSecrets {
		if !pull[s.Name] {
			return fmt.Errorf(`imagePullSecrets[%d].name="%s" is not allowed because service account %s does not reference that imagePullSecret`, i, s.Name, sa.Name)
		}
	}
	return nil
}
