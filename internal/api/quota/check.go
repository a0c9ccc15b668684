package quota

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Refusal is why a change is forbidden.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// Limited is a resource that nobody may use where no quota covers it: an entry of upstream's ResourceQuotaConfiguration.
type Limited struct {
	APIGroup      string                                     `json:"apiGroup,omitempty"`
	Resource      string                                     `json:"resource"`
	MatchContains []string                                   `json:"matchContains,omitempty"`
	MatchScopes   []corev1.ScopedResourceSelectorRequirement `json:"matchScopes,omitempty"`
}

// Rules are what a change is held against: the quotas of its namespace, and what may not be used without one.
type Rules struct {
	Quotas  []*corev1.ResourceQuota // not changed
	Limited []Limited
}

// Check decides whether the quotas have room for a change of an object of a resource. It returns what each quota has in use
// afterwards, nil for those on which the change leaves no trace. A Refusal is an answer; any other error is trouble in the rules
// themselves.
func (r Rules) Check(of schema.GroupResource, c Change) ([]corev1.ResourceList, error) {
	m := Of(of)
	if !m.Concerns(c) {
		return nil, nil
	}
	pertinent, covered, err := r.pertinent(m, c.New)
	if err != nil {
		return nil, err
	}
	usage := m.Usage(c.New)
	var negative []corev1.ResourceName
	for name, q := range usage {
		if q.Sign() < 0 {
			negative = append(negative, name)
		}
	}
	if len(negative) > 0 {
		return nil, Refusal("quota usage is negative for resource(s): " + names(negative))
	}
	deltas, any, err := r.deltas(m, c, usage, pertinent)
	if err != nil || !any {
		return nil, err
	}
	if err := r.uncovered(of, m, c.New, usage, covered); err != nil {
		return nil, err
	}
	out := make([]corev1.ResourceList, len(r.Quotas))
	for i, delta := range deltas {
		if len(delta) == 0 {
			continue
		}
		q := r.Quotas[i]
		requested := Mask(delta, q.Status.Hard)
		used := Add(q.Status.Used, requested)
		if err := exceeds(q, requested, used); err != nil && c.Subresource != "status" {
			return nil, err
		}
		if !Equal(used, q.Status.Used) {
			out[i] = used
		}
	}
	return out, nil
}

// pertinent are the quotas that an object counts towards, by their place, and the resources that they cover.
func (r Rules) pertinent(m *Measure, obj runtime.Object) (which []int, covered map[corev1.ResourceName]bool, err error) {
	for i, q := range r.Quotas {
		tracked := m.covered(q.Status.Hard)
		if len(tracked) == 0 {
			continue
		}
		in, err := m.in(scopes(q), obj)
		if err != nil {
			return nil, nil, err
		}
		if !in {
			continue
		}
		if m.Lacks != nil {
			if lacks := m.Lacks(tracked, obj); lacks != "" {
				return nil, nil, Refusal(fmt.Sprintf("failed quota: %s: %s", q.Name, lacks))
			}
		}
		for _, name := range tracked {
			if _, ok := q.Status.Used[name]; !ok {
				return nil, nil, Refusal(fmt.Sprintf("status unknown for quota: %s, resources: %s", q.Name, names(tracked)))
			}
			if covered == nil {
				covered = map[corev1.ResourceName]bool{}
			}
			covered[name] = true
		}
		which = append(which, i)
	}
	return which, covered, nil
}

// deltas are by how much a change makes each of the pertinent quotas' usage grow; any reports whether it grows at all, be there a
// quota or not. What was counted before counts again only towards quotas in whose scopes it was not.
func (r Rules) deltas(m *Measure, c Change, usage corev1.ResourceList, pertinent []int) (out map[int]corev1.ResourceList, any bool, err error) {
	growth := withoutZeros(usage)
	if c.Old != nil && stored(c.Old) {
		growth = more(usage, m.Usage(c.Old))
	}
	if len(pertinent) == 0 {
		return nil, len(growth) > 0, nil
	}
	out = map[int]corev1.ResourceList{}
	for _, i := range pertinent {
		out[i] = growth
		if c.Old != nil {
			was, err := m.in(scopes(r.Quotas[i]), c.Old)
			if err != nil {
				return nil, false, err
			}
			if !was {
				out[i] = withoutZeros(usage)
			}
		}
		any = any || len(out[i]) > 0
	}
	return out, any, nil
}

// stored reports whether an object has been stored before: one that an update creates has not.
func stored(obj runtime.Object) bool {
	o, err := meta.Accessor(obj)
	return err == nil && o.GetResourceVersion() != ""
}

// uncovered refuses what may be used only under a quota and is under none.
func (r Rules) uncovered(of schema.GroupResource, m *Measure, obj runtime.Object, usage corev1.ResourceList, covered map[corev1.ResourceName]bool) error {
	var bare []corev1.ResourceName
	var outside []corev1.ScopedResourceSelectorRequirement
	for i := range r.Limited {
		l := &r.Limited[i]
		if l.APIGroup == of.Group && l.Resource == of.Resource {
			for name, q := range usage {
				if q.Sign() > 0 && !covered[name] && slices.ContainsFunc(l.MatchContains, func(s string) bool { return strings.Contains(string(name), s) }) {
					bare = append(bare, name)
				}
			}
		}
		for _, s := range l.MatchScopes {
			in, err := m.in([]corev1.ScopedResourceSelectorRequirement{s}, obj)
			if err != nil {
				return nil //nolint:nilerr // upstream takes such a change
			}
			if in && !r.scoped(m, obj, s.ScopeName) {
				outside = append(outside, s)
			}
		}
	}
	switch {
	case len(bare) > 0:
		return Refusal("insufficient quota to consume: " + names(bare))
	case len(outside) > 0:
		return fmt.Errorf("insufficient quota to match these scopes: %v", outside)
	}
	return nil
}

// scoped reports whether a quota has a scope of that name that the object is in.
func (r Rules) scoped(m *Measure, obj runtime.Object, name corev1.ResourceQuotaScope) bool {
	return slices.ContainsFunc(r.Quotas, func(q *corev1.ResourceQuota) bool {
		return slices.ContainsFunc(scopes(q), func(s corev1.ScopedResourceSelectorRequirement) bool {
			if s.ScopeName != name {
				return false
			}
			in, err := m.in([]corev1.ScopedResourceSelectorRequirement{s}, obj)
			return in && err == nil
		})
	})
}

// exceeds refuses a change after which more is used than the quota has of what the change asks for.
func exceeds(q *corev1.ResourceQuota, requested, used corev1.ResourceList) error {
	over := corev1.ResourceList{}
	for name := range requested {
		if now, hard := used[name], q.Status.Hard[name]; now.Cmp(hard) > 0 {
			over[name] = now
		}
	}
	if len(over) == 0 {
		return nil
	}
	return Refusal(fmt.Sprintf("exceeded quota: %s, requested: %s, used: %s, limited: %s",
		q.Name, text(Mask(requested, over)), text(Mask(q.Status.Used, over)), text(Mask(q.Status.Hard, over))))
}
