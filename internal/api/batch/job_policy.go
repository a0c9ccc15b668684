package batch

import (
	"fmt"
	"slices"

	"sampan.dev/internal/api/valid"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds of the policies that say when a job has failed or succeeded.
const (
	mostFailureRules     = 20
	mostExitCodes        = 255
	mostConditions       = 20
	mostSuccessRules     = 20
	mostSucceededIndexes = 64 * 1024 // bytes
)

// checkPolicies checks podFailurePolicy, successPolicy and podReplacementPolicy.
func checkPolicies(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.PodFailurePolicy != nil {
		errs = append(errs, checkFailurePolicy(s, path.Child("podFailurePolicy", "rules"))...)
	}
	if p := s.SuccessPolicy; p != nil {
		at := path.Child("successPolicy")
		if indexed(s) {
			errs = append(errs, checkSuccessPolicy(s, at.Child("rules"))...)
		} else {
			errs = append(errs, field.Invalid(at, valid.Internal(p), "requires indexed completion mode"))
		}
	}
	if p := s.PodReplacementPolicy; p != nil {
		allowed := []batchv1.PodReplacementPolicy{batchv1.Failed, batchv1.TerminatingOrFailed}
		if s.PodFailurePolicy != nil {
			allowed = allowed[:1]
		}
		errs = append(errs, valid.InOrder(*p, path.Child("podReplacementPolicy"), allowed...)...)
	}
	return errs
}

func checkFailurePolicy(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if n := len(s.PodFailurePolicy.Rules); n > mostFailureRules {
		errs = append(errs, field.TooMany(path, n, mostFailureRules))
	}
	for i := range s.PodFailurePolicy.Rules {
		errs = append(errs, checkFailureRule(s, &s.PodFailurePolicy.Rules[i], path.Index(i))...)
	}
	return errs
}

func checkFailureRule(s *batchv1.JobSpec, r *batchv1.PodFailurePolicyRule, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	actions := []batchv1.PodFailurePolicyAction{
		batchv1.PodFailurePolicyActionCount, batchv1.PodFailurePolicyActionFailIndex, batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionIgnore,
	}
	at := path.Child("action")
	if r.Action == batchv1.PodFailurePolicyActionFailIndex && s.BackoffLimitPerIndex == nil {
		errs = append(errs, field.Invalid(at, r.Action, "requires the backoffLimitPerIndex to be set"))
	}
	errs = append(errs, named(r.Action, at, actions)...)
	if r.OnExitCodes != nil {
		errs = append(errs, checkExitCodes(s, r.OnExitCodes, path.Child("onExitCodes"))...)
	}
	if len(r.OnPodConditions) > 0 {
		errs = append(errs, checkConditions(r.OnPodConditions, path.Child("onPodConditions"))...)
	}
	switch codes, conditions := r.OnExitCodes != nil, len(r.OnPodConditions) > 0; {
	case codes && conditions:
		errs = append(errs, field.Invalid(path, field.OmitValueType{}, "specifying both OnExitCodes and OnPodConditions is not supported"))
	case !codes && !conditions:
		errs = append(errs, field.Invalid(path, field.OmitValueType{}, "specifying one of OnExitCodes and OnPodConditions is required"))
	}
	return errs
}

// named checks that a value is one of the allowed ones, which the error of an absent value lists in words.
func named[T ~string](value T, path *field.Path, allowed []T) field.ErrorList {
	if value == "" {
		return valid.Required(path, fmt.Sprintf("valid values: %q", allowed))
	}
	return valid.InOrder(value, path, allowed...)
}

func checkConditions(list []batchv1.PodFailurePolicyOnPodConditionsPattern, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(list) > mostConditions {
		errs = append(errs, field.TooMany(path, len(list), mostConditions))
	}
	for i, c := range list {
		at := path.Index(i)
		errs = append(errs, valid.QualifiedName(string(c.Type), at.Child("type"))...)
		errs = append(errs, named(c.Status, at.Child("status"), []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown})...)
	}
	return errs
}

func checkExitCodes(s *batchv1.JobSpec, codes *batchv1.PodFailurePolicyOnExitCodesRequirement, path *field.Path) field.ErrorList {
	const in, notIn = batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn
	errs := named(codes.Operator, path.Child("operator"), []batchv1.PodFailurePolicyOnExitCodesOperator{in, notIn})
	if n := codes.ContainerName; n != nil && !hasContainer(&s.Template.Spec, *n) {
		errs = append(errs, field.Invalid(path.Child("containerName"), *n, "must be one of the container or initContainer names in the pod template"))
	}
	at := path.Child("values")
	if len(codes.Values) == 0 {
		errs = append(errs, field.Invalid(at, codes.Values, "at least one value is required"))
	} else if len(codes.Values) > mostExitCodes {
		errs = append(errs, field.TooMany(at, len(codes.Values), mostExitCodes))
	}
	for i, v := range codes.Values {
		if codes.Operator == in && v == 0 {
			errs = append(errs, field.Invalid(at.Index(i), v, "must not be 0 for the In operator"))
		}
		if slices.Contains(codes.Values[:i], v) {
			errs = append(errs, field.Duplicate(at.Index(i), v))
		}
	}
	if !slices.IsSorted(codes.Values) {
		errs = append(errs, field.Invalid(at, codes.Values, "must be ordered"))
	}
	return errs
}

func hasContainer(spec *corev1.PodSpec, name string) bool {
	is := func(c corev1.Container) bool { return c.Name == name }
	return slices.ContainsFunc(spec.Containers, is) || slices.ContainsFunc(spec.InitContainers, is)
}

func checkSuccessPolicy(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	rules := s.SuccessPolicy.Rules
	if len(rules) == 0 {
		errs = append(errs, field.Required(path, "at least one rules must be specified when the successPolicy is specified"))
	}
	if len(rules) > mostSuccessRules {
		errs = append(errs, field.TooMany(path, len(rules), mostSuccessRules))
	}
	for i := range rules {
		errs = append(errs, checkSuccessRule(&rules[i], valid.Deref(s.Completions), path.Index(i))...)
	}
	return errs
}

func checkSuccessRule(r *batchv1.SuccessPolicyRule, completions int32, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.SucceededCount == nil && r.SucceededIndexes == nil {
		errs = append(errs, field.Required(path, "at least one of succeededCount or succeededIndexes must be specified"))
	}
	var total int32
	if list := r.SucceededIndexes; list != nil {
		at := path.Child("succeededIndexes")
		if len(*list) > mostSucceededIndexes {
			errs = append(errs, field.TooLong(at, "", mostSucceededIndexes))
		}
		var err error
		if total, err = countIndexes(*list, completions); err != nil {
			errs = append(errs, field.Invalid(at, *list, "error parsing succeededIndexes: "+err.Error()))
		}
	}
	if n := r.SucceededCount; n != nil {
		at := path.Child("succeededCount")
		errs = append(errs, valid.NonNegative(int64(*n), at)...)
		if *n > completions {
			errs = append(errs, field.Invalid(at, *n, fmt.Sprintf("must be less than or equal to %d (the number of specified completions)", completions)))
		}
		if r.SucceededIndexes != nil && *n > total {
			errs = append(errs, field.Invalid(at, *n, fmt.Sprintf("must be less than or equal to %d (the number of indexes in the specified succeededIndexes field)", total)))
		}
	}
	return errs
}
