package catalog

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"sampan.dev/internal/api"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Backend answers in the hub's place, after the hub has found out who asks and that they may. It answers by itself, or returns an
// error to answer with while it has written nothing.
type Backend interface {
	Serve(w http.ResponseWriter, r *http.Request, user api.User) error
}

// Delegate is somebody else who answers every request for a group version, whatever the hub itself has of it. It never changes: what
// is learned of one that is served makes another.
type Delegate struct {
	GV schema.GroupVersion
	Backend
	// Discovery is what the backend last said that it has, and whether that is fresh. Its Version is GV's.
	Discovery apidiscoveryv2.APIVersionDiscovery
	// GroupPriority and VersionPriority say where clients are told of it; larger comes first.
	GroupPriority, VersionPriority int32
}

// Knows reports whether the backend has said that it has a resource.
func (d *Delegate) Knows(plural string) bool {
	for i := range d.Discovery.Resources {
		if d.Discovery.Resources[i].Resource == plural {
			return true
		}
	}
	return false
}

// Delegate serves those of list, and no others than them, from then on.
func (c *Catalog) Delegate(list []*Delegate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := *c.Now() // what the hub itself serves stays the same value, so that what follows from that alone does too
	next.delegate(list)
	c.swapLocked(&next)
}

// Delegates are those that answer in the hub's place, in no order.
func (s *Snapshot) Delegates() map[schema.GroupVersion]*Delegate { return s.delegates }

// DelegateOf is who answers for a path below /apis in the hub's place; nil for nobody, which without delegates costs nothing.
func (s *Snapshot) DelegateOf(path string) *Delegate {
	if len(s.delegates) == 0 {
		return nil
	}
	rest, ok := strings.CutPrefix(path, "/apis/")
	if !ok {
		return nil
	}
	group, rest, _ := strings.Cut(rest, "/")
	version, _, _ := strings.Cut(rest, "/")
	return s.delegates[schema.GroupVersion{Group: group, Version: version}]
}

func (s *Snapshot) delegate(list []*Delegate) {
	s.delegates = nil
	for _, d := range list {
		if s.delegates == nil {
			s.delegates = make(map[schema.GroupVersion]*Delegate, len(list))
		}
		s.delegates[d.GV] = d
	}
}

// others lists the delegates.
func (s *Snapshot) others() []*Delegate { return slices.Collect(maps.Values(s.delegates)) }
