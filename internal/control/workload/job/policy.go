package job

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// judgment is what a pod failure policy says of a pod that failed.
type judgment struct {
	action  batchv1.PodFailurePolicyAction // "": no rule matches
	message string                         // why the whole Job fails, of action FailJob
}

// counts reports whether the failure counts towards the backoff limit.
func (j judgment) counts() bool { return j.action != batchv1.PodFailurePolicyActionIgnore }

// judge finds the first rule that a pod which failed matches.
func judge(policy *batchv1.PodFailurePolicy, p *corev1.Pod) judgment {
	if policy == nil {
		return judgment{}
	}
	for i := range policy.Rules {
		rule := &policy.Rules[i]
		what := ""
		if rule.OnExitCodes != nil {
			c := exited(&p.Status, rule.OnExitCodes)
			if c == nil {
				continue
			}
			what = fmt.Sprintf("Container %s for pod %s/%s failed with exit code %d", c.Name, p.Namespace, p.Name, c.State.Terminated.ExitCode)
		} else {
			c := conditioned(&p.Status, rule.OnPodConditions)
			if c == nil {
				continue
			}
			what = fmt.Sprintf("Pod %s/%s has condition %s", p.Namespace, p.Name, c.Type)
		}
		switch rule.Action {
		case batchv1.PodFailurePolicyActionFailJob:
			return judgment{rule.Action, fmt.Sprintf("%s matching %s rule at index %d", what, rule.Action, i)}
		case batchv1.PodFailurePolicyActionIgnore, batchv1.PodFailurePolicyActionFailIndex, batchv1.PodFailurePolicyActionCount:
			return judgment{action: rule.Action}
		}
	}
	return judgment{}
}

// exited returns the first container, init containers last, that failed with a code that the rule is about.
func exited(s *corev1.PodStatus, rule *batchv1.PodFailurePolicyOnExitCodesRequirement) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{s.ContainerStatuses, s.InitContainerStatuses} {
		for i := range list {
			c := &list[i]
			if c.State.Terminated == nil || c.State.Terminated.ExitCode == 0 || rule.ContainerName != nil && *rule.ContainerName != c.Name {
				continue
			}
			among := slices.Contains(rule.Values, c.State.Terminated.ExitCode)
			if rule.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn && among || rule.Operator == batchv1.PodFailurePolicyOnExitCodesOpNotIn && !among {
				return c
			}
		}
	}
	return nil
}

func conditioned(s *corev1.PodStatus, patterns []batchv1.PodFailurePolicyOnPodConditionsPattern) *corev1.PodCondition {
	for i := range s.Conditions {
		c := &s.Conditions[i]
		for _, want := range patterns {
			if c.Type == want.Type && c.Status == want.Status {
				return c
			}
		}
	}
	return nil
}

// enough reports whether a success policy is met by the indexes that have succeeded, and by which of its rules.
func enough(policy *batchv1.SuccessPolicy, completions int, succeeded spans) (message string, met bool) {
	if policy == nil || len(succeeded) == 0 {
		return "", false
	}
	for i := range policy.Rules {
		rule := &policy.Rules[i]
		has, want := succeeded.total(), -1
		if rule.SucceededIndexes != nil {
			asked := parseSpans(*rule.SucceededIndexes, completions)
			if len(asked) == 0 {
				continue
			}
			has, want = asked.shared(succeeded), asked.total()
		}
		if has == want || rule.SucceededCount != nil && has >= int(*rule.SucceededCount) {
			return fmt.Sprintf("Matched rules at index %d", i), true
		}
	}
	return "", false
}
