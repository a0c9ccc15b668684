package catalog

import (
	"net/http"
	"slices"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Resource is one resource that is served.
type Resource struct {
	Kind    *api.Kind
	stored  *Stored      // where its objects are; nil for virtual kinds and for those with a backend
	backend http.Handler // answers every request for it, after authorization; nil for kinds of this hub
}

// Stored is where the resource's objects are kept, which for a view is with those of another kind; nil for what keeps none.
func (r *Resource) Stored() *Stored { return r.stored }

// Backend answers in this hub's place; nil for what it answers itself.
func (r *Resource) Backend() http.Handler { return r.backend }

// Answer is what a resource has to say to a verb.
type Answer uint8

const (
	Served        Answer = iota
	NoSubresource        // there is nothing at that path: 404
	NoVerb               // there is, but it does not take the verb: 405
)

// Answers decides what there is at a resource, or ("" is none) at a subresource of it, for a verb. Whether a path names the
// resource where it belongs is the router's to know.
func (r *Resource) Answers(subresource, verb string) Answer {
	if subresource == "" {
		if !r.Kind.Can(verb) {
			return NoVerb
		}
		return Served
	}
	sub := r.Kind.Sub(subresource)
	switch {
	case sub == nil:
		return NoSubresource
	case !slices.Contains(sub.Verbs, verb):
		return NoVerb
	}
	return Served
}

// Snapshot is what is served at one time. It never changes.
type Snapshot struct {
	kinds  *api.Kinds
	list   []*Resource // of the kinds, in their order
	byGVR  map[schema.GroupVersionResource]*Resource
	groups map[string]bool

	delegates map[schema.GroupVersion]*Delegate // nil without any
}

// newSnapshot indexes list, in the order in which documents have it, and who else answers.
func newSnapshot(list []*Resource, others []*Delegate) *Snapshot {
	s := &Snapshot{list: list, byGVR: make(map[schema.GroupVersionResource]*Resource, len(list)), groups: map[string]bool{}}
	s.delegate(others)
	kinds := make([]*api.Kind, len(list))
	for i, r := range list {
		kinds[i] = r.Kind
		s.byGVR[r.Kind.GVR()], s.groups[r.Kind.Group] = r, true
	}
	s.kinds = api.NewKinds(kinds)
	return s
}

// Kinds are the kinds, in order.
func (s *Snapshot) Kinds() *api.Kinds { return s.kinds }

// Resource is what is served at r; nil for nothing.
func (s *Snapshot) Resource(r schema.GroupVersionResource) *Resource { return s.byGVR[r] }

// Equivalent are the kinds that show the objects of the place where k's are, k among them, in order: its other versions, and those of
// another group. It walks all that is served.
func (s *Snapshot) Equivalent(k *api.Kind) []*api.Kind {
	r := s.byGVR[k.GVR()]
	if r == nil || r.stored == nil {
		return nil
	}
	var out []*api.Kind
	for _, other := range s.list {
		if other.stored == r.stored {
			out = append(out, other.Kind)
		}
	}
	return out
}

// HasGroup reports whether any resource of an API group is served, here or elsewhere.
func (s *Snapshot) HasGroup(group string) bool {
	if s.groups[group] {
		return true
	}
	for gv := range s.delegates {
		if gv.Group == group {
			return true
		}
	}
	return false
}

// resources lists them in order. The list is the snapshot's.
func (s *Snapshot) resources() []*Resource { return s.list }
