package podsecurity

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// Standards judges pods by a configuration. It never changes.
type Standards struct {
	defaults api.Policy
	exempt   Exemptions
}

// New makes it of a configuration that ReadConfig has taken.
func New(c Config) *Standards {
	p, _ := c.Defaults.policy()
	return &Standards{defaults: p, exempt: c.Exemptions}
}

// checks is made when the first policy is not privileged: a cluster without labels does without it.
var checks = sync.OnceValue(func() policy.Evaluator {
	e, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		panic(fmt.Sprintf("podsecurity: the library's own checks: %v", err))
	}
	return e
})

// Policy is what a namespace asks for by its labels; errs are the labels that say nothing known, where the policy then is the
// strictest for enforce, and none for the others.
func (s *Standards) Policy(labels map[string]string) (p api.Policy, errs field.ErrorList) {
	if !labelled(labels) {
		return s.defaults, nil
	}
	return api.PolicyToEvaluate(labels, s.defaults)
}

// Silent reports whether pods of a namespace with these labels are never looked at, which is what nearly all are: it allocates
// nothing.
func (s *Standards) Silent(labels map[string]string) bool {
	return s.defaults.FullyPrivileged() && !labelled(labels)
}

func labelled(labels map[string]string) bool {
	for k := range labels {
		if strings.HasPrefix(k, api.AuditAnnotationPrefix) {
			return true
		}
	}
	return false
}

// ExemptNamespace, ExemptUser and ExemptClass report whether no policy is for requests of a namespace or a user, or for pods of a
// runtime class.
func (s *Standards) ExemptNamespace(name string) bool {
	return name != "" && slices.Contains(s.exempt.Namespaces, name)
}

// ExemptUser see ExemptNamespace.
func (s *Standards) ExemptUser(name string) bool {
	return name != "" && slices.Contains(s.exempt.Usernames, name)
}

// ExemptClass see ExemptNamespace.
func (s *Standards) ExemptClass(name *string) bool {
	return name != nil && *name != "" && slices.Contains(s.exempt.RuntimeClasses, *name)
}

// Verdict is what is said of one pod.
type Verdict struct {
	Refused     string            // why it is refused; "" when it is not
	Warning     string            // of what the client is warned; "" for nothing
	Annotations map[string]string // for the audit log, without the group's prefix
}

// Judge looks at a pod, or at the template of something that makes pods, under a policy. What makes pods is not refused
// (enforce is false): the pods are, when they come.
func (s *Standards) Judge(p api.Policy, bad field.ErrorList, meta *metav1.ObjectMeta, spec *corev1.PodSpec, enforce bool) Verdict {
	if s.ExemptClass(spec.RuntimeClassName) {
		return Verdict{Annotations: map[string]string{api.ExemptionReasonAnnotationKey: "runtimeClass"}}
	}
	v := Verdict{Annotations: map[string]string{}}
	if err := bad.ToAggregate(); err != nil {
		v.Annotations["error"] = fmt.Sprintf("Failed to parse policy: %v", err)
	}
	found := map[api.LevelVersion]string{} // modes that ask for the same are looked at once
	violations := func(lv api.LevelVersion) string {
		text, ok := found[lv]
		if !ok {
			r := policy.AggregateCheckResults(checks().EvaluatePod(lv, meta, spec))
			if !r.Allowed {
				text = fmt.Sprintf("violate PodSecurity %q: %s", lv.String(), r.ForbiddenDetail())
			}
			found[lv] = text
		}
		return text
	}
	if enforce {
		v.Annotations[api.EnforcedPolicyAnnotationKey] = p.Enforce.String()
		if text := violations(p.Enforce); text != "" {
			v.Refused = "violates" + strings.TrimPrefix(text, "violate")
		}
	}
	if text := violations(p.Audit); text != "" {
		v.Annotations[api.AuditViolationsAnnotationKey] = "would " + text
	}
	if v.Refused == "" {
		if text := violations(p.Warn); text != "" {
			v.Warning = "would " + text
		}
	}
	return v
}

// Significant reports whether an update of a pod changes something that a policy looks at: images, and the containers that there
// are. Nothing else of a pod that a policy looks at can be changed.
func Significant(pod, old *corev1.Pod) bool {
	differ := func(now, was []corev1.Container) bool {
		return !slices.EqualFunc(now, was, func(a, b corev1.Container) bool { return a.Image == b.Image })
	}
	if differ(pod.Spec.Containers, old.Spec.Containers) || differ(pod.Spec.InitContainers, old.Spec.InitContainers) {
		return true
	}
	return slices.ContainsFunc(pod.Spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool {
		return !slices.ContainsFunc(old.Spec.EphemeralContainers, func(o corev1.EphemeralContainer) bool { return o.Name == c.Name && o.Image == c.Image })
	})
}
