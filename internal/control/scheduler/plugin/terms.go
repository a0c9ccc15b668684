package plugin

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Term is one term of a pod's affinity to other pods: the pods it speaks of, and the node label whose value says what is near.
type Term struct {
	// Key is the same for two terms that speak of the same pods near by the same label, whichever pods they stand in.
	Key               string
	TopologyKey       string
	Namespaces        []string        // sorted; those named, or the one of the pod that the term stands in
	NamespaceSelector labels.Selector // further namespaces, by their labels; never nil
	Selector          labels.Selector // never nil
	Weight            int32           // of a preferred term
}

// Terms are all terms of a pod.
type Terms struct {
	Affinity, AntiAffinity []Term // required
	Likes, Dislikes        []Term // preferred
}

// Everywhere reports whether the term's namespaces cannot be listed, because labels choose them.
func (t *Term) Everywhere() bool {
	_, selectable := t.NamespaceSelector.Requirements()
	return selectable
}

// Matches reports whether the term speaks of pod; namespace is the labels of a namespace, nil when it is not known.
func (t *Term) Matches(pod *corev1.Pod, namespace func(name string) labels.Set) bool {
	if !t.Selector.Matches(labels.Set(pod.Labels)) {
		return false
	}
	if _, named := slices.BinarySearch(t.Namespaces, pod.Namespace); named {
		return true
	}
	return t.Everywhere() && t.NamespaceSelector.Matches(namespace(pod.Namespace))
}

// termsOf reads a pod's terms; nil when it has none. Terms were validated when the pod was written; those that do not parse
// are left out.
func termsOf(pod *corev1.Pod) *Terms {
	a := pod.Spec.Affinity
	if a == nil || a.PodAffinity == nil && a.PodAntiAffinity == nil {
		return nil
	}
	var t Terms
	if p := a.PodAffinity; p != nil {
		t.Affinity = required(pod, p.RequiredDuringSchedulingIgnoredDuringExecution)
		t.Likes = preferred(pod, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if p := a.PodAntiAffinity; p != nil {
		t.AntiAffinity = required(pod, p.RequiredDuringSchedulingIgnoredDuringExecution)
		t.Dislikes = preferred(pod, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	return &t
}

func required(pod *corev1.Pod, list []corev1.PodAffinityTerm) []Term {
	var out []Term
	for i := range list {
		if t, ok := termOf(pod, &list[i]); ok {
			out = append(out, t)
		}
	}
	return out
}

func preferred(pod *corev1.Pod, list []corev1.WeightedPodAffinityTerm) []Term {
	var out []Term
	for i := range list {
		if t, ok := termOf(pod, &list[i].PodAffinityTerm); ok {
			t.Weight = list[i].Weight
			out = append(out, t)
		}
	}
	return out
}

func termOf(pod *corev1.Pod, term *corev1.PodAffinityTerm) (Term, bool) {
	t := Term{TopologyKey: term.TopologyKey}
	var err error
	if t.Selector, err = metav1.LabelSelectorAsSelector(term.LabelSelector); err != nil {
		return t, false
	}
	if t.NamespaceSelector, err = metav1.LabelSelectorAsSelector(term.NamespaceSelector); err != nil {
		return t, false
	}
	if len(term.Namespaces) == 0 && term.NamespaceSelector == nil {
		t.Namespaces = []string{pod.Namespace}
	} else {
		t.Namespaces = slices.Compact(slices.Sorted(slices.Values(term.Namespaces)))
	}
	var key strings.Builder
	for _, part := range []string{t.TopologyKey, strings.Join(t.Namespaces, ","), SelectorKey(t.NamespaceSelector), SelectorKey(t.Selector)} {
		key.WriteString(strconv.Itoa(len(part)))
		key.WriteByte(':')
		key.WriteString(part)
	}
	t.Key = key.String()
	return t, true
}

// SelectorKey is the same for two selectors that select the same by the same words.
func SelectorKey(s labels.Selector) string {
	if _, selectable := s.Requirements(); !selectable {
		return "nothing"
	}
	return "=" + s.String()
}
