package apps

import (
	"sampan.dev/internal/api/valid"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateDaemonSet(d *appsv1.DaemonSet) field.ErrorList {
	path, spec := field.NewPath("spec"), &d.Spec
	at := path.Child("selector")
	errs := valid.LabelSelector(spec.Selector, at)
	template := path.Child("template")
	if s, err := metav1.LabelSelectorAsSelector(spec.Selector); err == nil && !s.Matches(labels.Set(spec.Template.Labels)) {
		errs = append(errs, field.Invalid(template.Child("metadata", "labels"), spec.Template.Labels, "`selector` does not match template `labels`"))
	}
	if spec.Selector != nil && len(spec.Selector.MatchLabels)+len(spec.Selector.MatchExpressions) == 0 {
		errs = append(errs, field.Invalid(at, spec.Selector, "empty selector is invalid for daemonset"))
	}
	errs = append(errs, valid.ValidatePodTemplate(&spec.Template, template)...)
	errs = append(errs, alwaysRestarts(&spec.Template.Spec, template.Child("spec"), "DaemonSet")...)
	errs = append(errs, valid.NonNegative(int64(spec.MinReadySeconds), path.Child("minReadySeconds"))...)
	errs = append(errs, checkDaemonStrategy(&spec.UpdateStrategy, path.Child("updateStrategy"))...)
	if n := spec.RevisionHistoryLimit; n != nil {
		errs = append(errs, valid.NonNegative(int64(*n), path.Child("revisionHistoryLimit"))...)
	}
	return errs
}

func validateDaemonSetUpdate(d, old *appsv1.DaemonSet) field.ErrorList {
	errs := valid.Immutable(d.Spec.Selector, old.Spec.Selector, field.NewPath("spec", "selector"))
	return append(errs, validateDaemonSet(d)...)
}

func checkDaemonStrategy(s *appsv1.DaemonSetUpdateStrategy, path *field.Path) field.ErrorList {
	switch s.Type {
	case appsv1.OnDeleteDaemonSetStrategyType:
		return nil
	case appsv1.RollingUpdateDaemonSetStrategyType:
		if s.RollingUpdate == nil {
			return valid.Required(path.Child("rollingUpdate"), "")
		}
		return checkDaemonRolling(s.RollingUpdate, path.Child("rollingUpdate"))
	}
	return field.ErrorList{field.NotSupported(path, valid.Internal(s), []appsv1.DaemonSetUpdateStrategyType{
		appsv1.RollingUpdateDaemonSetStrategyType, appsv1.OnDeleteDaemonSetStrategyType,
	})}
}

// checkDaemonRolling checks that either pods may be away or more than one may be on a node, and not both.
func checkDaemonRolling(r *appsv1.RollingUpdateDaemonSet, path *field.Path) field.ErrorList {
	var unavailable, surge intstr.IntOrString
	if r.MaxUnavailable != nil {
		unavailable = *r.MaxUnavailable
	}
	if r.MaxSurge != nil {
		surge = *r.MaxSurge
	}
	away, more := path.Child("maxUnavailable"), path.Child("maxSurge")
	errs := valid.IntOrPercent(unavailable, away)
	errs = append(errs, valid.IntOrPercent(surge, more)...)
	errs = append(errs, valid.AtMost100Percent(unavailable, away)...)
	errs = append(errs, valid.AtMost100Percent(surge, more)...)
	switch n, m := valid.NumberOrPercent(unavailable), valid.NumberOrPercent(surge); {
	case n != 0 && m != 0:
		errs = append(errs, field.Invalid(more, surge, "may not be set when maxUnavailable is non-zero"))
	case n == 0 && m == 0:
		errs = append(errs, field.Required(away, "cannot be 0 when maxSurge is 0"))
	}
	return errs
}

func validateDaemonSetStatus(d, old *appsv1.DaemonSet) field.ErrorList {
	path, s := field.NewPath("status"), &d.Status
	counts := []count{
		{"currentNumberScheduled", int64(s.CurrentNumberScheduled), false},
		{"numberMisscheduled", int64(s.NumberMisscheduled), false},
		{"desiredNumberScheduled", int64(s.DesiredNumberScheduled), false},
		{"numberReady", int64(s.NumberReady), false},
		{"observedGeneration", s.ObservedGeneration, false},
		{"updatedNumberScheduled", int64(s.UpdatedNumberScheduled), false},
		{"numberAvailable", int64(s.NumberAvailable), false},
		{"numberUnavailable", int64(s.NumberUnavailable), false},
		{"collisionCount", int64(deref(s.CollisionCount)), false},
	}
	return append(checkCounts(counts, 0, path), neverLess(s.CollisionCount, old.Status.CollisionCount, path.Child("collisionCount"))...)
}
