package admit

import (
	"context"
	"fmt"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/admit/podsecurity"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	securityapi "k8s.io/pod-security-admission/api"
)

// podSecurity holds pods against the Pod Security Standards that the labels of their namespace name. Pods are refused; of what
// makes pods only the author is warned. Labels of namespaces are checked when they are written, and a level that becomes stricter
// warns of pods that are there already. In a namespace without such labels it costs one look at the labels.
type podSecurity struct {
	look      lookup
	standards *podsecurity.Standards
}

func (*podSecurity) Name() string { return "PodSecurity" }

func (p *podSecurity) Validate(ctx context.Context, a *Attributes) error {
	if a.Operation != Create && a.Operation != Update {
		return nil
	}
	switch {
	case a.is("", "namespaces", ""):
		return p.namespace(ctx, a)
	case a.Kind.Group == "" && a.Kind.Resource == "pods":
		return p.pod(ctx, a)
	case a.Subresource == "":
		return p.template(ctx, a)
	}
	return nil
}

// withoutSpec are the subresources of pods through which no container comes.
var withoutSpec = map[string]bool{
	"exec": true, "attach": true, "binding": true, "eviction": true, "log": true, "portforward": true, "proxy": true, "status": true,
}

func (p *podSecurity) pod(ctx context.Context, a *Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || withoutSpec[a.Subresource] {
		return nil
	}
	if old, ok := a.Old.(*corev1.Pod); ok && a.Operation == Update && !podsecurity.Significant(pod, old) {
		return nil
	}
	if p.exempt(a) {
		return nil
	}
	ns, err := a.namespace(ctx, p.look)
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("failed to lookup namespace %q", a.Namespace))
	}
	if p.standards.Silent(ns.Labels) {
		return nil
	}
	policy, bad := p.standards.Policy(ns.Labels)
	if len(bad) == 0 && policy.FullyPrivileged() {
		a.annotate(securityapi.AuditAnnotationPrefix+securityapi.EnforcedPolicyAnnotationKey, "privileged:latest")
		return nil
	}
	v := p.standards.Judge(policy, bad, &pod.ObjectMeta, &pod.Spec, true)
	p.say(a, v)
	if v.Refused != "" {
		return apierrors.NewForbidden(a.Kind.GR(), a.Name, fmt.Errorf("%s", v.Refused))
	}
	return nil
}

// template looks at the pods that an object is to make. Whatever goes wrong here refuses nobody.
func (p *podSecurity) template(ctx context.Context, a *Attributes) error {
	meta, spec := templateOf(a.Object)
	if spec == nil || p.exempt(a) {
		return nil
	}
	ns, err := a.namespace(ctx, p.look)
	if err != nil {
		a.annotate(securityapi.AuditAnnotationPrefix+"error", fmt.Sprintf("failed to lookup namespace %q: %v", a.Namespace, err))
		return nil
	}
	if p.standards.Silent(ns.Labels) {
		return nil
	}
	policy, bad := p.standards.Policy(ns.Labels)
	if len(bad) == 0 && policy.Warn.Level == securityapi.LevelPrivileged && policy.Audit.Level == securityapi.LevelPrivileged {
		return nil
	}
	p.say(a, p.standards.Judge(policy, bad, meta, spec, false))
	return nil
}

// exempt reports whether the namespace or the user is exempt, which the audit log tells.
func (p *podSecurity) exempt(a *Attributes) bool {
	why := ""
	switch {
	case p.standards.ExemptNamespace(a.Namespace):
		why = "namespace"
	case p.standards.ExemptUser(a.User.Name):
		why = "user"
	default:
		return false
	}
	a.annotate(securityapi.AuditAnnotationPrefix+securityapi.ExemptionReasonAnnotationKey, why)
	return true
}

func (p *podSecurity) say(a *Attributes, v podsecurity.Verdict) {
	if v.Warning != "" {
		a.Warn(v.Warning)
	}
	for key, value := range v.Annotations {
		a.annotate(securityapi.AuditAnnotationPrefix+key, value)
	}
}

func (p *podSecurity) namespace(ctx context.Context, a *Attributes) error {
	ns, ok := a.Object.(*corev1.Namespace)
	if !ok {
		return nil
	}
	if a.Operation == Create {
		errs, warning := p.standards.Created(ns)
		if len(errs) > 0 {
			return apierrors.NewInvalid(a.Kind.GVK().GroupKind(), a.Name, errs)
		}
		if warning != "" {
			a.Warn(warning)
		}
		return nil
	}
	old, ok := a.Old.(*corev1.Namespace)
	if !ok {
		return nil
	}
	errs, warning, look, level := p.standards.Changed(ns, old)
	if len(errs) > 0 {
		return apierrors.NewInvalid(a.Kind.GVK().GroupKind(), a.Name, errs)
	}
	if warning != "" {
		a.Warn(warning)
	}
	if !look {
		return nil
	}
	pods, err := client.ListAll[*corev1.Pod](ctx, p.look.door, client.Pods, ns.Name, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		a.Warn("failed to list pods while checking new PodSecurity enforce level")
		return nil
	}
	for _, s := range p.standards.Existing(ctx, ns.Name, level, pods) {
		a.Warn(s)
	}
	return nil
}

// templateOf is what the pods are made of that obj is to make; nil for what makes none.
func templateOf(obj runtime.Object) (*metav1.ObjectMeta, *corev1.PodSpec) {
	of := func(t *corev1.PodTemplateSpec) (*metav1.ObjectMeta, *corev1.PodSpec) {
		if t == nil {
			return nil, nil
		}
		return &t.ObjectMeta, &t.Spec
	}
	switch o := obj.(type) {
	case *corev1.PodTemplate:
		return of(&o.Template)
	case *corev1.ReplicationController:
		return of(o.Spec.Template)
	case *appsv1.ReplicaSet:
		return of(&o.Spec.Template)
	case *appsv1.Deployment:
		return of(&o.Spec.Template)
	case *appsv1.DaemonSet:
		return of(&o.Spec.Template)
	case *appsv1.StatefulSet:
		return of(&o.Spec.Template)
	case *batchv1.Job:
		return of(&o.Spec.Template)
	case *batchv1.CronJob:
		return of(&o.Spec.JobTemplate.Spec.Template)
	}
	return nil, nil
}
