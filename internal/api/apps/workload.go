package apps

import (
	"fmt"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/core"
	"sampan.dev/internal/api/valid"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// What Deployments and ReplicaSets share: a selector, a template of pods that always restart, a scale.

var statusVerbs = []string{"get", "patch", "update"}

func scale(s *api.Scale) api.Subresource {
	return api.Subresource{
		Name: "scale", Verbs: statusVerbs, GVK: autoscalingv1.SchemeGroupVersion.WithKind("Scale"),
		New: func() runtime.Object { return &autoscalingv1.Scale{} }, Scale: s,
	}
}

// checkSelected checks the selector at path.selector and the template at path.template, which must match it.
func checkSelected(selector *metav1.LabelSelector, template *corev1.PodTemplateSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := path.Child("selector")
	if selector == nil {
		errs = append(errs, field.Required(at, ""))
	} else {
		errs = append(errs, valid.LabelSelector(selector, at)...)
		if len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
			errs = append(errs, field.Invalid(at, selector, "empty selector is invalid for deployment"))
		}
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return append(errs, field.Invalid(at, selector, "invalid label selector"))
	}
	at = path.Child("template")
	if !s.Empty() && !s.Matches(labels.Set(template.Labels)) {
		errs = append(errs, field.Invalid(at.Child("metadata", "labels"), template.Labels, "`selector` does not match template `labels`"))
	}
	errs = append(errs, valid.ValidatePodTemplate(template, at)...)
	return append(errs, alwaysRestarts(&template.Spec, at.Child("spec"), "ReplicaSet")...)
}

// alwaysRestarts checks what a workload named kind demands of its pods besides what every pod must have.
func alwaysRestarts(spec *corev1.PodSpec, path *field.Path, kind string) field.ErrorList {
	var errs field.ErrorList
	if spec.RestartPolicy != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(path.Child("restartPolicy"), spec.RestartPolicy, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(path.Child("activeDeadlineSeconds"), "activeDeadlineSeconds in "+kind+" is not Supported"))
	}
	return errs
}

// count is one counter of a status.
type count struct {
	name  string
	value int64
	most  bool // must not exceed status.replicas
}

// checkCounts checks that counters are not negative and do not exceed replicas.
func checkCounts(counts []count, replicas int64, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, c := range counts {
		errs = append(errs, valid.NonNegative(c.value, path.Child(c.name))...)
	}
	for _, c := range counts {
		if c.most && c.value > replicas {
			errs = append(errs, field.Invalid(path.Child(c.name), int32(c.value), "cannot be greater than status.replicas"))
		}
	}
	return errs
}

// neverLess checks that a counter does not go back.
func neverLess(now, was *int32, path *field.Path) field.ErrorList {
	if was != nil && (now == nil || *now < *was) {
		return valid.Invalid(path, deref(now), "cannot be decremented")
	}
	return nil
}

func workloadWarnings(name string, template *corev1.PodTemplateSpec, created bool) []string {
	var out []string
	if msgs := validation.IsDNS1123Label(name); created && len(msgs) != 0 {
		out = append(out, fmt.Sprintf("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: %v", msgs))
	}
	return append(out, core.PodTemplateWarnings(field.NewPath("spec", "template"), template)...)
}

// containerCells are the names and images of a template's containers.
func containerCells(containers []corev1.Container) (names, images string) {
	n, i := make([]string, len(containers)), make([]string, len(containers))
	for k, c := range containers {
		n[k], i[k] = c.Name, c.Image
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}

func selectorString(s *metav1.LabelSelector) string {
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return ""
	}
	return sel.String()
}

func deref(p *int32) int32 {
	if p == nil {
		return 0
	}
	return *p
}
