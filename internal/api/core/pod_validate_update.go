package core

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validatePodUpdate allows the few changes of a spec that a running pod can follow.
func validatePodUpdate(pod, old *corev1.Pod) field.ErrorList {
	errs := changedPod(pod, old)
	path := field.NewPath("spec")
	for _, list := range []struct {
		name     string
		now, was []corev1.Container
	}{
		{"containers", pod.Spec.Containers, old.Spec.Containers},
		{"initContainers", pod.Spec.InitContainers, old.Spec.InitContainers},
	} {
		if len(list.now) != len(list.was) {
			return append(errs, field.Forbidden(path.Child(list.name), "pod updates may not add or remove containers"))
		}
		// Upstream says it twice, having checked the whole spec before.
		for i := range list.now {
			if list.now[i].Image == "" {
				errs = append(errs, field.Required(path.Child(list.name).Index(i).Child("image"), ""))
			}
			errs = append(errs, valid.ImagePadding(&list.now[i], path.Child(list.name).Index(i))...)
		}
	}
	if bad := deadlineChange(pod.Spec.ActiveDeadlineSeconds, old.Spec.ActiveDeadlineSeconds); len(bad) > 0 {
		errs = append(errs, bad...)
		if pod.Spec.ActiveDeadlineSeconds != nil {
			return errs
		}
	}
	errs = append(errs, addedTolerations(pod.Spec.Tolerations, old.Spec.Tolerations)...)
	errs = append(errs, deletedGates(pod.Spec.SchedulingGates, old.Spec.SchedulingGates)...)
	if equality.Semantic.DeepEqual(&pod.Spec, &old.Spec) {
		return errs
	}
	return append(errs, fixedFields(pod, old)...)
}

func deadlineChange(now, was *int64) field.ErrorList {
	path := field.NewPath("spec", "activeDeadlineSeconds")
	switch {
	case now == nil && was != nil:
		return valid.Invalid(path, now, "must not update from a positive integer to nil value")
	case now == nil:
		return nil
	case *now < 0 || *now > math.MaxInt32:
		return valid.Invalid(path, *now, validation.InclusiveRangeError(0, math.MaxInt32))
	case was != nil && *was < *now:
		return valid.Invalid(path, *now, "must be less than or equal to previous value")
	}
	return nil
}

// addedTolerations lets tolerations be added, and the seconds of those there are change.
func addedTolerations(now, was []corev1.Toleration) field.ErrorList {
	path := field.NewPath("spec", "tolerations")
	for _, t := range was {
		kept := slices.ContainsFunc(now, func(n corev1.Toleration) bool {
			n.TolerationSeconds = t.TolerationSeconds
			return n == t
		})
		if !kept {
			return valid.Forbidden(path, "existing toleration can not be modified except its tolerationSeconds")
		}
	}
	return nil // the new ones were checked with the spec
}

func deletedGates(now, was []corev1.PodSchedulingGate) field.ErrorList {
	var errs field.ErrorList
	for i, g := range now {
		if !slices.Contains(was, g) {
			errs = append(errs, field.Forbidden(field.NewPath("spec", "schedulingGates").Index(i).Child("name"), fmt.Sprintf("only deletion is allowed, but found new scheduling gate '%s'", g.Name)))
		}
	}
	return errs
}

// fixedFields takes every allowed change back, and refuses what still differs.
func fixedFields(pod, old *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	spec, was := pod.Spec.DeepCopy(), &old.Spec
	for i := range spec.Containers {
		spec.Containers[i].Image = was.Containers[i].Image
	}
	for i := range spec.InitContainers {
		spec.InitContainers[i].Image = was.InitContainers[i].Image
	}
	spec.ActiveDeadlineSeconds = was.ActiveDeadlineSeconds
	spec.SchedulingGates = was.SchedulingGates
	spec.Tolerations = was.Tolerations
	if g := was.TerminationGracePeriodSeconds; g != nil && *g < 0 && spec.TerminationGracePeriodSeconds != nil && *spec.TerminationGracePeriodSeconds == 1 {
		spec.TerminationGracePeriodSeconds = g
	}
	var errs field.ErrorList
	if len(was.SchedulingGates) > 0 {
		errs = append(errs, narrowed(spec, was)...)
	}
	if equality.Semantic.DeepEqual(spec, was) {
		return errs
	}
	allowed := strings.Join([]string{
		"`spec.containers[*].image`",
		"`spec.initContainers[*].image`",
		"`spec.activeDeadlineSeconds`",
		"`spec.tolerations` (only additions to existing tolerations)",
		"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
	}, ",")
	return append(errs, field.Forbidden(path, fmt.Sprintf("pod updates may not change fields other than %s\n%v", allowed, diff.Diff(was, spec))))
}

// narrowed lets a pod that is not yet free to be scheduled be bound to fewer nodes than before. It takes the changes of
// node selector and node affinity in spec back.
func narrowed(spec, was *corev1.PodSpec) field.ErrorList {
	var errs field.ErrorList
	for k, v := range was.NodeSelector {
		if now, ok := spec.NodeSelector[k]; !ok || now != v {
			errs = append(errs, field.Invalid(field.NewPath("spec", "nodeSelector"), spec.NodeSelector, "only additions to spec.nodeSelector are allowed (no mutations or deletions)"))
			break
		}
	}
	spec.NodeSelector = was.NodeSelector
	now, before := nodeAffinity(spec), nodeAffinity(was)
	if equality.Semantic.DeepEqual(now, before) {
		return errs
	}
	errs = append(errs, affinityChange(requiredTerms(now), requiredTerms(before))...)
	switch {
	case spec.Affinity == nil:
		spec.Affinity = &corev1.Affinity{NodeAffinity: before}
	case was.Affinity == nil && spec.Affinity.PodAffinity == nil && spec.Affinity.PodAntiAffinity == nil:
		spec.Affinity = nil
	default:
		spec.Affinity.NodeAffinity = before
	}
	return errs
}

func nodeAffinity(spec *corev1.PodSpec) *corev1.NodeAffinity {
	if spec.Affinity == nil {
		return nil
	}
	return spec.Affinity.NodeAffinity
}

func requiredTerms(a *corev1.NodeAffinity) []corev1.NodeSelectorTerm {
	if a == nil || a.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	return a.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
}

// affinityChange allows requirements to be added to terms. Terms are alternatives: adding or removing one would widen the
// choice, unless there was none.
func affinityChange(now, was []corev1.NodeSelectorTerm) field.ErrorList {
	path := field.NewPath("spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
	if len(was) == 0 {
		return nil
	}
	if len(now) != len(was) {
		return valid.Invalid(path, now, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")
	}
	var errs field.ErrorList
	for i := range was {
		empty := len(was[i].MatchExpressions) == 0 && len(was[i].MatchFields) == 0 // matches nothing
		grown := len(now[i].MatchExpressions) > 0 || len(now[i].MatchFields) > 0
		if empty && grown || !startsWith(now[i].MatchExpressions, was[i].MatchExpressions) || !startsWith(now[i].MatchFields, was[i].MatchFields) {
			errs = append(errs, field.Invalid(path.Index(i), now[i], "only additions are allowed (no mutations or deletions)"))
		}
	}
	return errs
}

func startsWith(list, prefix []corev1.NodeSelectorRequirement) bool {
	return len(list) >= len(prefix) && (len(prefix) == 0 || equality.Semantic.DeepEqual(list[:len(prefix)], prefix))
}
