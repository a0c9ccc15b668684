package batch

import (
	"fmt"

	"sampan.dev/internal/api/valid"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds that keep the lists of indexes in a job's status short.
const (
	mostIndexedParallelism = 100_000
	mostFailedIndexes      = 100_000
	manyCompletions        = 100_000 // from here on there are closer bounds
	parallelismOfMany      = 10_000
	failedIndexesOfMany    = 10_000
	mostManagedByLength    = 63
)

func indexed(s *batchv1.JobSpec) bool {
	return s.CompletionMode != nil && *s.CompletionMode == batchv1.IndexedCompletion
}

func validateJob(j *batchv1.Job) field.ErrorList {
	errs := checkOwnSelector(j, true)
	errs = append(errs, checkSelected(&j.Spec, field.NewPath("spec"))...)
	return append(errs, checkHostnames(j)...)
}

// checkOwnSelector checks what selectOwnPods made, which labels of the author's may have thwarted. prefixed asks for the labels of
// today besides those of old.
func checkOwnSelector(j *batchv1.Job, prefixed bool) field.ErrorList {
	if valid.Deref(j.Spec.ManualSelector) || j.Spec.Selector == nil {
		return nil
	}
	var errs field.ErrorList
	if j.UID == "" {
		errs = append(errs, field.Required(field.NewPath("metadata", "uid"), ""))
	}
	wanted := labels.Set{}
	want := func(key, value string) {
		wanted[key] = value
		errs = append(errs, hasLabel(j.Spec.Template.Labels, key, value, field.NewPath("spec", "template", "metadata", "labels"))...)
	}
	want(uidLabels[1], string(j.UID))
	want(nameLabels[1], j.Name)
	if prefixed {
		want(uidLabels[0], string(j.UID))
		want(nameLabels[0], j.Name)
	}
	if s, err := metav1.LabelSelectorAsSelector(j.Spec.Selector); err == nil && !s.Matches(wanted) {
		errs = append(errs, field.Invalid(field.NewPath("spec", "selector"), j.Spec.Selector, "`selector` not auto-generated"))
	}
	return errs
}

func hasLabel(have map[string]string, key, value string, path *field.Path) field.ErrorList {
	got, ok := have[key]
	switch {
	case !ok:
		return valid.Required(path.Key(key), fmt.Sprintf("must be '%s'", value))
	case got != value:
		return valid.Invalid(path.Key(key), have, fmt.Sprintf("must be '%s'", value))
	}
	return nil
}

// checkHostnames checks that the pods of an indexed job, which have the index behind their name, can have a name.
func checkHostnames(j *batchv1.Job) field.ErrorList {
	if !indexed(&j.Spec) || valid.Deref(j.Spec.Completions) <= 0 {
		return nil
	}
	longest := fmt.Sprintf("%s-%d", j.Name, *j.Spec.Completions-1)
	if len(validation.IsDNS1123Label(longest)) == 0 {
		return nil
	}
	return valid.Invalid(field.NewPath("metadata", "name"), j.Name, "will not able to create pod with invalid DNS label: "+longest)
}

// checkSelected is checkSpec for a job, which has a selector.
func checkSelected(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	errs := checkSpec(s, path)
	if s.Selector == nil {
		errs = append(errs, field.Required(path.Child("selector"), ""))
	} else {
		errs = append(errs, valid.LabelSelector(s.Selector, path.Child("selector"))...)
	}
	if sel, err := metav1.LabelSelectorAsSelector(s.Selector); err == nil && !sel.Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(path.Child("template", "metadata", "labels"), s.Template.Labels, "`selector` does not match template `labels`"))
	}
	return errs
}

// checkSpec checks the spec of a job or of a cron job's template.
func checkSpec(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, n := range []struct {
		name  string
		value *int32
	}{{"parallelism", s.Parallelism}, {"completions", s.Completions}} {
		errs = append(errs, nonNegative(n.value, path.Child(n.name))...)
	}
	if n := s.ActiveDeadlineSeconds; n != nil {
		errs = append(errs, valid.NonNegative(*n, path.Child("activeDeadlineSeconds"))...)
	}
	errs = append(errs, nonNegative(s.BackoffLimit, path.Child("backoffLimit"))...)
	errs = append(errs, nonNegative(s.TTLSecondsAfterFinished, path.Child("ttlSecondsAfterFinished"))...)
	errs = append(errs, nonNegative(s.BackoffLimitPerIndex, path.Child("backoffLimitPerIndex"))...)
	errs = append(errs, nonNegative(s.MaxFailedIndexes, path.Child("maxFailedIndexes"))...)
	if s.MaxFailedIndexes != nil && s.BackoffLimitPerIndex == nil {
		errs = append(errs, field.Required(path.Child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"))
	}
	if m := s.ManagedBy; m != nil {
		errs = append(errs, validation.IsDomainPrefixedPath(path.Child("managedBy"), *m)...)
		if len(*m) > mostManagedByLength {
			errs = append(errs, field.TooLong(path.Child("managedBy"), "", mostManagedByLength))
		}
	}
	errs = append(errs, checkMode(s, path)...)
	errs = append(errs, checkPolicies(s, path)...)
	errs = append(errs, valid.ValidatePodTemplate(&s.Template, path.Child("template"))...)
	return append(errs, checkRestart(s, path.Child("template", "spec", "restartPolicy"))...)
}

func nonNegative(n *int32, path *field.Path) field.ErrorList {
	if n == nil {
		return nil
	}
	return valid.NonNegative(int64(*n), path)
}

// checkMode checks the completion mode and what belongs to it.
func checkMode(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m := s.CompletionMode; m != nil {
		errs = append(errs, valid.InOrder(*m, path.Child("completionMode"), batchv1.NonIndexedCompletion, batchv1.IndexedCompletion)...)
	}
	if indexed(s) {
		return append(errs, checkIndexed(s, path)...)
	}
	if s.CompletionMode != nil && *s.CompletionMode != batchv1.NonIndexedCompletion {
		return errs
	}
	const msg = "requires indexed completion mode"
	if n := s.BackoffLimitPerIndex; n != nil {
		errs = append(errs, field.Invalid(path.Child("backoffLimitPerIndex"), *n, msg))
	}
	if n := s.MaxFailedIndexes; n != nil {
		errs = append(errs, field.Invalid(path.Child("maxFailedIndexes"), *n, msg))
	}
	return errs
}

func checkIndexed(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	atMost := func(name string, n *int32, most int32, msg string) {
		if n != nil && *n > most {
			errs = append(errs, field.Invalid(path.Child(name), *n, msg))
		}
	}
	if s.Completions == nil {
		errs = append(errs, field.Required(path.Child("completions"), "when completion mode is Indexed"))
	}
	atMost("parallelism", s.Parallelism, mostIndexedParallelism, fmt.Sprintf("must be less than or equal to %d when completion mode is Indexed", mostIndexedParallelism))
	if s.Completions != nil {
		atMost("maxFailedIndexes", s.MaxFailedIndexes, *s.Completions, "must be less than or equal to completions")
	}
	atMost("maxFailedIndexes", s.MaxFailedIndexes, mostFailedIndexes, fmt.Sprintf("must be less than or equal to %d", mostFailedIndexes))
	if valid.Deref(s.Completions) <= manyCompletions || s.BackoffLimitPerIndex == nil {
		return errs
	}
	const msg = "must be less than or equal to %d when completions are above %d and used with backoff limit per index"
	if s.MaxFailedIndexes == nil {
		errs = append(errs, field.Required(path.Child("maxFailedIndexes"), fmt.Sprintf("must be specified when completions is above %d", manyCompletions)))
	}
	atMost("parallelism", s.Parallelism, parallelismOfMany, fmt.Sprintf(msg, parallelismOfMany, manyCompletions))
	atMost("maxFailedIndexes", s.MaxFailedIndexes, failedIndexesOfMany, fmt.Sprintf(msg, failedIndexesOfMany, manyCompletions))
	return errs
}

// checkRestart refuses what pods of a job may not do: to start again for ever.
func checkRestart(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	const onFailure, never = corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever
	switch p := s.Template.Spec.RestartPolicy; {
	case p == corev1.RestartPolicyAlways || p == "":
		return valid.Required(path, fmt.Sprintf("valid values: %q, %q", onFailure, never))
	case p != onFailure && p != never:
		return field.ErrorList{field.NotSupported(path, p, []corev1.RestartPolicy{onFailure, never})}
	case s.PodFailurePolicy != nil && p != never:
		return valid.Invalid(path, p, fmt.Sprintf("only %q is supported when podFailurePolicy is specified", never))
	}
	return nil
}
