package apps

import (
	"sampan.dev/internal/api/valid"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateDeployment(d *appsv1.Deployment) field.ErrorList {
	path, spec := field.NewPath("spec"), &d.Spec
	errs := valid.NonNegative(int64(deref(spec.Replicas)), path.Child("replicas"))
	errs = append(errs, checkSelected(spec.Selector, &spec.Template, path)...)
	errs = append(errs, checkStrategy(&spec.Strategy, path.Child("strategy"))...)
	errs = append(errs, valid.NonNegative(int64(spec.MinReadySeconds), path.Child("minReadySeconds"))...)
	if n := spec.RevisionHistoryLimit; n != nil {
		errs = append(errs, valid.NonNegative(int64(*n), path.Child("revisionHistoryLimit"))...)
	}
	if n := spec.ProgressDeadlineSeconds; n != nil {
		at := path.Child("progressDeadlineSeconds")
		errs = append(errs, valid.NonNegative(int64(*n), at)...)
		if *n <= spec.MinReadySeconds {
			errs = append(errs, field.Invalid(at, *n, "must be greater than minReadySeconds"))
		}
	}
	return errs
}

func validateDeploymentUpdate(d, old *appsv1.Deployment) field.ErrorList {
	return append(validateDeployment(d), valid.Immutable(d.Spec.Selector, old.Spec.Selector, field.NewPath("spec", "selector"))...)
}

func checkStrategy(s *appsv1.DeploymentStrategy, path *field.Path) field.ErrorList {
	at := path.Child("rollingUpdate")
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Forbidden(at, "may not be specified when strategy `type` is 'Recreate'")}
		}
		return nil
	case appsv1.RollingUpdateDeploymentStrategyType:
		if s.RollingUpdate == nil {
			return field.ErrorList{field.Required(at, "this should be defaulted and never be nil")}
		}
		return checkRolling(s.RollingUpdate, at)
	}
	return field.ErrorList{field.NotSupported(path, valid.Internal(s), []appsv1.DeploymentStrategyType{
		appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType,
	})}
}

func checkRolling(r *appsv1.RollingUpdateDeployment, path *field.Path) field.ErrorList {
	var unavailable, surge intstr.IntOrString
	if r.MaxUnavailable != nil {
		unavailable = *r.MaxUnavailable
	}
	if r.MaxSurge != nil {
		surge = *r.MaxSurge
	}
	at := path.Child("maxUnavailable")
	errs := valid.IntOrPercent(unavailable, at)
	errs = append(errs, valid.IntOrPercent(surge, path.Child("maxSurge"))...)
	if valid.NumberOrPercent(unavailable) == 0 && valid.NumberOrPercent(surge) == 0 {
		errs = append(errs, field.Invalid(at, unavailable, "may not be 0 when `maxSurge` is 0"))
	}
	return append(errs, valid.AtMost100Percent(unavailable, at)...)
}

func validateDeploymentStatus(d, old *appsv1.Deployment) field.ErrorList {
	path, s := field.NewPath("status"), &d.Status
	counts := []count{
		{"observedGeneration", s.ObservedGeneration, false},
		{"replicas", int64(s.Replicas), false},
		{"updatedReplicas", int64(s.UpdatedReplicas), true},
		{"readyReplicas", int64(s.ReadyReplicas), true},
		{"availableReplicas", int64(s.AvailableReplicas), true},
		{"unavailableReplicas", int64(s.UnavailableReplicas), false},
		{"terminatingReplicas", int64(deref(s.TerminatingReplicas)), false},
		{"collisionCount", int64(deref(s.CollisionCount)), false},
	}
	errs := checkCounts(counts, int64(s.Replicas), path)
	if s.AvailableReplicas > s.ReadyReplicas {
		errs = append(errs, field.Invalid(path.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than readyReplicas"))
	}
	return append(errs, neverLess(s.CollisionCount, old.Status.CollisionCount, path.Child("collisionCount"))...)
}
