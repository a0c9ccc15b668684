package podsecurity

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// How many pods are looked at, and for how long, when a namespace gets a stricter policy. Both are upstream's.
const (
	maxPods = 3000
	maxTime = time.Second
)

// Created says what is wrong with the labels of a new namespace, and of what its author is warned.
func (s *Standards) Created(ns *corev1.Namespace) (errs field.ErrorList, warning string) {
	p, errs := s.Policy(ns.Labels)
	if len(errs) > 0 || !s.ExemptNamespace(ns.Name) {
		return errs, ""
	}
	return nil, s.ignored(ns, p)
}

// Changed says what is wrong with the new labels of a namespace, and of what its author is warned. Where look is true, the pods of
// the namespace have to be held against the level that it has from now on, see Existing.
func (s *Standards) Changed(ns, old *corev1.Namespace) (errs field.ErrorList, warning string, look bool, level api.LevelVersion) {
	if !labelled(ns.Labels) && !labelled(old.Labels) {
		return nil, "", false, level
	}
	p, errs := s.Policy(ns.Labels)
	was, wasErrs := s.Policy(old.Labels)
	if len(errs) > 0 && (len(wasErrs) == 0 || !reflect.DeepEqual(errs, wasErrs)) {
		return errs, "", false, level
	}
	now, before := p.Enforce, was.Enforce
	switch {
	case now == before, now.Level == api.LevelPrivileged,
		now.Version == before.Version && api.CompareLevels(now.Level, before.Level) < 1:
		return nil, "", false, level
	case s.ExemptNamespace(ns.Name):
		return nil, s.ignored(ns, p), false, level
	}
	return nil, "", true, now
}

// ignored warns that the labels of an exempt namespace count for nothing.
func (s *Standards) ignored(ns *corev1.Namespace, p api.Policy) string {
	if p.FullyPrivileged() || p.Equivalent(&s.defaults) {
		return ""
	}
	var said []string
	for _, m := range []struct {
		name, level, version string
		lv                   api.LevelVersion
	}{
		{"enforce", api.EnforceLevelLabel, api.EnforceVersionLabel, p.Enforce},
		{"audit", api.AuditLevelLabel, api.AuditVersionLabel, p.Audit},
		{"warn", api.WarnLevelLabel, api.WarnVersionLabel, p.Warn},
	} {
		_, level := ns.Labels[m.level]
		_, version := ns.Labels[m.version]
		if m.lv.Level != api.LevelPrivileged && (level || version) {
			said = append(said, m.name+"="+m.lv.String())
		}
	}
	return fmt.Sprintf("namespace %q is exempt from Pod Security, and the policy (%s) will be ignored", ns.Name, strings.Join(said, ", "))
}

// alike are pods with the same violations.
type alike struct {
	first string // the first name of them
	count int
}

// Existing warns of the pods of a namespace that its new level would not let in. It looks at one pod of each controller before it
// looks at others of the same, and ends when it has seen enough or ctx is half over.
func (s *Standards) Existing(ctx context.Context, namespace string, level api.LevelVersion, pods []*corev1.Pod) []string {
	limit := maxTime
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/2)
	}
	end := time.Now().Add(limit)
	pods = s.inOrder(pods)
	total := len(pods)
	pods = pods[:min(total, maxPods)]
	seen := len(pods)
	found := map[string]alike{}
	for i, pod := range pods {
		r := policy.AggregateCheckResults(checks().EvaluatePod(level, &pod.ObjectMeta, &pod.Spec))
		if !r.Allowed {
			text := r.ForbiddenReason()
			a := found[text]
			if a.count == 0 || pod.Name < a.first {
				a.first = pod.Name
			}
			a.count++
			found[text] = a
		}
		if ctx.Err() != nil || time.Now().After(end) {
			seen = i + 1
			break
		}
	}
	var out []string
	if seen < total {
		out = append(out, fmt.Sprintf("new PodSecurity enforce level only checked against the first %d of %d existing pods", seen, total))
	}
	if len(found) > 0 {
		out = append(out, fmt.Sprintf("existing pods in namespace %q violate the new PodSecurity enforce level %q", namespace, level.String()))
	}
	return append(out, lines(found)...)
}

func lines(found map[string]alike) []string {
	var out []string
	for text, a := range found {
		switch a.count {
		case 1:
			out = append(out, fmt.Sprintf("%s: %s", a.first, text))
		case 2:
			out = append(out, fmt.Sprintf("%s (and 1 other pod): %s", a.first, text))
		default:
			out = append(out, fmt.Sprintf("%s (and %d other pods): %s", a.first, a.count-1, text))
		}
	}
	slices.Sort(out)
	return out
}

// inOrder puts pods behind which there is another of the same controller last, and leaves out those of exempt runtime classes.
func (s *Standards) inOrder(pods []*corev1.Pod) []*corev1.Pod {
	var first, rest []*corev1.Pod
	had := map[types.UID]bool{}
	for _, pod := range pods {
		if s.ExemptClass(pod.Spec.RuntimeClassName) {
			continue
		}
		owner := metav1.GetControllerOfNoCopy(pod)
		switch {
		case owner == nil:
			first = append(first, pod)
		case had[owner.UID]:
			rest = append(rest, pod)
		default:
			had[owner.UID] = true
			first = append(first, pod)
		}
	}
	return append(first, rest...)
}
