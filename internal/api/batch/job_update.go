package batch

import (
	"fmt"

	"sampan.dev/internal/api/valid"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateJobUpdate(j, old *batchv1.Job) field.ErrorList {
	path, s, was := field.NewPath("spec"), &j.Spec, &old.Spec
	errs := checkSelected(s, path)
	errs = append(errs, checkCompletions(s, was, path.Child("completions"))...)
	errs = append(errs, valid.Immutable(s.Selector, was.Selector, path.Child("selector"))...)
	errs = append(errs, checkTemplateChange(j, old, path)...)
	errs = append(errs, valid.Immutable(s.CompletionMode, was.CompletionMode, path.Child("completionMode"))...)
	errs = append(errs, valid.ImmutableInternal(s.PodFailurePolicy, was.PodFailurePolicy, path.Child("podFailurePolicy"))...)
	errs = append(errs, valid.Immutable(s.BackoffLimitPerIndex, was.BackoffLimitPerIndex, path.Child("backoffLimitPerIndex"))...)
	errs = append(errs, valid.Immutable(s.ManagedBy, was.ManagedBy, path.Child("managedBy"))...)
	errs = append(errs, valid.ImmutableInternal(s.SuccessPolicy, was.SuccessPolicy, path.Child("successPolicy"))...)
	return append(errs, checkHostnames(j)...)
}

// checkCompletions lets the completions of an indexed job change together with its parallelism.
func checkCompletions(s, was *batchv1.JobSpec, path *field.Path) field.ErrorList {
	if !indexed(s) {
		return valid.Immutable(s.Completions, was.Completions, path)
	}
	if equality.Semantic.DeepEqual(s.Completions, was.Completions) || s.Completions == nil || *s.Completions == valid.Deref(s.Parallelism) {
		return nil
	}
	return valid.Invalid(path, s.Completions, fmt.Sprintf("can only be modified in tandem with %s", path.Root().Child("parallelism")))
}

// checkTemplateChange lets the template of a suspended job without pods change where it says what its pods need and where they may
// run, so that queueing systems can place it. Everything else stays.
func checkTemplateChange(j, old *batchv1.Job, path *field.Path) field.ErrorList {
	now, was := &j.Spec.Template, &old.Spec.Template
	suspended := valid.Deref(old.Spec.Suspend)
	free := suspended && (old.Status.StartTime == nil || isTrue(&old.Status, batchv1.JobSuspended)) && old.Status.Active == 0
	if !free {
		return valid.ImmutableInternal(now, was, path.Child("template"))
	}
	was = was.DeepCopy()
	was.Labels, was.Annotations = now.Labels, now.Annotations
	was.Spec.NodeSelector, was.Spec.Tolerations, was.Spec.SchedulingGates = now.Spec.NodeSelector, now.Spec.Tolerations, now.Spec.SchedulingGates
	was.Spec.Affinity = withNodeAffinity(was.Spec.Affinity, now.Spec.Affinity)
	takeResources(was.Spec.Containers, now.Spec.Containers)
	takeResources(was.Spec.InitContainers, now.Spec.InitContainers)
	return valid.ImmutableInternal(&now.Spec, &was.Spec, path.Child("template.spec"))
}

// withNodeAffinity is was, which it may change, with the node affinity of now.
func withNodeAffinity(was, now *corev1.Affinity) *corev1.Affinity {
	switch {
	case was == nil && now == nil:
		return nil
	case was == nil:
		return &corev1.Affinity{NodeAffinity: now.NodeAffinity}
	case now != nil:
		was.NodeAffinity = now.NodeAffinity
		return was
	}
	was.NodeAffinity = nil
	if *was == (corev1.Affinity{}) {
		return nil
	}
	return was
}

// takeResources gives the containers of was, its own copies, the resources of those of now.
func takeResources(was, now []corev1.Container) {
	if len(was) != len(now) {
		return
	}
	for i := range was {
		if was[i].Name == now[i].Name {
			was[i].Resources = now[i].Resources
		}
	}
}
