package gc

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// remaining is what is left of a namespace's contents after an attempt to delete them.
type remaining struct {
	count      map[string]int // by resource, as messages name it: "pods."
	finalizers map[string]int
	estimate   time.Duration // until it is worth another look; 0: nothing is left, or nobody knows
	errs       []error
	unknown    []string // group versions of others that did not answer
}

func newRemaining() *remaining {
	return &remaining{count: map[string]int{}, finalizers: map[string]int{}}
}

// merge adds what is left of other kinds.
func (r *remaining) merge(o *remaining) {
	maps.Copy(r.count, o.count)
	for f, n := range o.finalizers {
		r.finalizers[f] += n
	}
	r.wait(o.estimate)
	r.errs, r.unknown = append(r.errs, o.errs...), append(r.unknown, o.unknown...)
}

func (r *remaining) fail(err error) { r.errs = append(r.errs, err) }

func (r *remaining) wait(d time.Duration) { r.estimate = max(r.estimate, d) }

// add counts what is left of one kind. It returns false when nothing says why it is still there.
func (r *remaining) add(k *api.Kind, items []api.Object, estimate time.Duration) bool {
	if len(items) == 0 {
		return true
	}
	r.count[k.Resource+"."+k.Group] = len(items)
	held := false
	for _, obj := range items {
		for _, f := range obj.GetFinalizers() {
			r.finalizers[f]++
			held = true
		}
	}
	if estimate == 0 && held {
		estimate = finalizerEstimate
	}
	r.wait(estimate)
	return estimate > 0
}

// namespaceConditions in the order in which they are listed, each with how it reads when all is well.
var namespaceConditions = []struct {
	kind            corev1.NamespaceConditionType
	reason, message string
}{
	{corev1.NamespaceDeletionDiscoveryFailure, "ResourcesDiscovered", "All resources successfully discovered"},
	{corev1.NamespaceDeletionGVParsingFailure, "ParsedGroupVersions", "All legacy kube types successfully parsed"},
	{corev1.NamespaceDeletionContentFailure, "ContentDeleted", "All content successfully deleted, may be waiting on finalization"},
	{corev1.NamespaceContentRemaining, "ContentRemoved", "All content successfully removed"},
	{corev1.NamespaceFinalizersRemaining, "ContentHasNoFinalizers", "All content-preserving finalizers finished"},
}

// conditions returns those that are not as they should be.
func (r *remaining) conditions() []corev1.NamespaceCondition {
	var out []corev1.NamespaceCondition
	add := func(kind corev1.NamespaceConditionType, reason, message string) {
		out = append(out, corev1.NamespaceCondition{Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: message})
	}
	if len(r.unknown) > 0 {
		slices.Sort(r.unknown)
		stale := make([]string, len(r.unknown))
		for i, gv := range r.unknown {
			stale[i] = gv + ": stale GroupVersion discovery: " + gv
		}
		add(corev1.NamespaceDeletionDiscoveryFailure, "DiscoveryFailed", fmt.Sprintf("Discovery failed for some groups, %d failing: unable to retrieve the complete list of server APIs: %s",
			len(stale), strings.Join(stale, ", ")))
	}
	if len(r.errs) > 0 {
		texts := make([]string, len(r.errs))
		for i, err := range r.errs {
			texts[i] = err.Error()
		}
		slices.Sort(texts)
		add(corev1.NamespaceDeletionContentFailure, "ContentDeletionFailed",
			fmt.Sprintf("Failed to delete all resource types, %d remaining: %s", len(texts), strings.Join(texts, ", ")))
	}
	if len(r.count) > 0 {
		add(corev1.NamespaceContentRemaining, "SomeResourcesRemain",
			"Some resources are remaining: "+tally(r.count, "%s has %d resource instances"))
	}
	if len(r.finalizers) > 0 {
		add(corev1.NamespaceFinalizersRemaining, "SomeFinalizersRemain",
			"Some content in the namespace has finalizers remaining: "+tally(r.finalizers, "%s in %d resource instances"))
	}
	return out
}

func tally(counts map[string]int, format string) string {
	var out []string
	for name, n := range counts {
		out = append(out, fmt.Sprintf(format, name, n))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// mergeConditions brings have up to date with what is wrong; the other conditions are well. It reports whether that
// changed any.
func mergeConditions(have, wrong []corev1.NamespaceCondition, now metav1.Time) ([]corev1.NamespaceCondition, bool) {
	out := slices.Clone(have)
	changed := false
	for _, known := range namespaceConditions {
		want := corev1.NamespaceCondition{Type: known.kind, Status: corev1.ConditionFalse, Reason: known.reason, Message: known.message}
		of := func(c corev1.NamespaceCondition) bool { return c.Type == known.kind }
		if i := slices.IndexFunc(wrong, of); i >= 0 {
			want = wrong[i]
		}
		want.LastTransitionTime = now
		i := slices.IndexFunc(out, of)
		if i < 0 {
			out, changed = append(out, want), true
			continue
		}
		if out[i].Status == want.Status {
			want.LastTransitionTime = out[i].LastTransitionTime
		}
		if out[i].Status != want.Status || out[i].Reason != want.Reason || out[i].Message != want.Message {
			out[i], changed = want, true
		}
	}
	return out, changed
}
