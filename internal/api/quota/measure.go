package quota

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Change is what becomes of an object.
type Change struct {
	Subresource string
	New         runtime.Object
	Old         runtime.Object // nil for one that is created
}

// Measure says what objects of one resource count as. Functions that are nil say no.
type Measure struct {
	// Covers reports whether a resource of a quota is one of those that objects count as.
	Covers func(corev1.ResourceName) bool
	// Concerns reports whether a change can make an object count as more than before.
	Concerns func(Change) bool
	// Lacks says what an object must specify before it can be counted as the resources; "" for nothing.
	Lacks func(of []corev1.ResourceName, obj runtime.Object) string
	// InScope reports whether an object is in a scope of a quota.
	InScope func(obj runtime.Object, scope corev1.ScopedResourceSelectorRequirement) (bool, error)
	// Usage is what an object counts as.
	Usage func(obj runtime.Object) corev1.ResourceList
}

var (
	pods     = Measure{Covers: ofPods, Concerns: podChanges, Lacks: podLacks, InScope: podInScope, Usage: podUsage}
	services = Measure{Covers: ofServices, Concerns: anyChange, Usage: serviceUsage}
	claims   = Measure{Covers: ofClaims, Concerns: claimChanges, InScope: claimInScope, Usage: claimUsage}
	devices  = Measure{Covers: ofDevices, Concerns: anyChange, Usage: deviceUsage}
)

// special are the resources whose objects count as more than their number.
var special = []schema.GroupResource{
	{Resource: "pods"}, {Resource: "services"}, {Resource: "persistentvolumeclaims"}, {Group: resourcev1.GroupName, Resource: "resourceclaims"},
}

// Of is the measure of a resource.
func Of(r schema.GroupResource) *Measure {
	switch r {
	case special[0]:
		return &pods
	case special[1]:
		return &services
	case special[2]:
		return &claims
	case special[3]:
		return &devices
	}
	return counted(r)
}

// aliases are names that objects are counted under beside count/RESOURCE.
var aliases = map[schema.GroupResource]corev1.ResourceName{
	{Resource: "configmaps"}:             corev1.ResourceConfigMaps,
	{Resource: "resourcequotas"}:         corev1.ResourceQuotas,
	{Resource: "replicationcontrollers"}: corev1.ResourceReplicationControllers,
	{Resource: "secrets"}:                corev1.ResourceSecrets,
}

// CountName is the name under which objects of a resource are counted: "count/pods", "count/deployments.apps".
func CountName(r schema.GroupResource) corev1.ResourceName {
	return corev1.ResourceName("count/" + r.String())
}

// Resources are those whose objects count towards a quota.
func Resources(q *corev1.ResourceQuota) []schema.GroupResource {
	var out []schema.GroupResource
	add := func(r schema.GroupResource) {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	for name := range q.Spec.Hard {
		for _, r := range special {
			if Of(r).Covers(name) {
				add(r)
			}
		}
		for r, alias := range aliases {
			if name == alias {
				add(r)
			}
		}
		if text, ok := strings.CutPrefix(string(name), "count/"); ok {
			add(schema.ParseGroupResource(text))
		}
	}
	return out
}

// counted is the measure of a resource whose objects are merely counted.
func counted(r schema.GroupResource) *Measure {
	name, alias := CountName(r), aliases[r]
	return &Measure{
		Covers:   func(n corev1.ResourceName) bool { return n == name || alias != "" && n == alias },
		Concerns: func(c Change) bool { return c.Old == nil && c.Subresource == "" },
		Usage: func(runtime.Object) corev1.ResourceList {
			out := corev1.ResourceList{name: amount(1)}
			if alias != "" {
				out[alias] = amount(1)
			}
			return out
		},
	}
}

func anyChange(c Change) bool { return c.Subresource == "" }

// covered are the resources of a list that objects of the measure count as.
func (m *Measure) covered(list corev1.ResourceList) []corev1.ResourceName {
	var out []corev1.ResourceName
	for name := range list {
		if m.Covers(name) {
			out = append(out, name)
		}
	}
	return out
}

// scopes are those of a quota, in one form.
func scopes(q *corev1.ResourceQuota) []corev1.ScopedResourceSelectorRequirement {
	var out []corev1.ScopedResourceSelectorRequirement
	for _, s := range q.Spec.Scopes {
		out = append(out, corev1.ScopedResourceSelectorRequirement{ScopeName: s, Operator: corev1.ScopeSelectorOpExists})
	}
	if q.Spec.ScopeSelector != nil {
		out = append(out, q.Spec.ScopeSelector.MatchExpressions...)
	}
	return out
}

// in reports whether an object is in all scopes.
func (m *Measure) in(list []corev1.ScopedResourceSelectorRequirement, obj runtime.Object) (bool, error) {
	for _, s := range list {
		if m.InScope == nil {
			return false, nil
		}
		if ok, err := m.InScope(obj, s); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// Used is what objects count as towards a quota: of each resource that the quota limits and that objects of the measure count as, the
// sum over those in its scopes.
func (m *Measure) Used(q *corev1.ResourceQuota, objects []runtime.Object) corev1.ResourceList {
	limits := corev1.ResourceList{}
	out := corev1.ResourceList{}
	for _, name := range m.covered(q.Spec.Hard) {
		limits[name], out[name] = q.Spec.Hard[name], amount(0)
	}
	if len(limits) == 0 {
		return nil
	}
	list := scopes(q)
	for _, obj := range objects {
		if ok, err := m.in(list, obj); !ok || err != nil {
			continue
		}
		out = Add(out, Mask(m.Usage(obj), limits))
	}
	return out
}

// Tracks reports whether a quota limits anything that objects of the measure count as.
func (m *Measure) Tracks(q *corev1.ResourceQuota) bool {
	for name := range q.Spec.Hard {
		if m.Covers(name) {
			return true
		}
	}
	return false
}
