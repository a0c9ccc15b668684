package discovery

import (
	"cmp"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apiregistration"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

// Elsewhere is a group version that somebody else answers for, in place of what the hub has of it.
type Elsewhere struct {
	Group                          string
	GroupPriority, VersionPriority int32 // larger comes first
	apidiscoveryv2.APIVersionDiscovery
}

// groupVersions are the kinds of one API group, by version.
type groupVersions struct {
	name     string
	priority int32
	versions []string // preferred first
	kinds    map[string][]*api.Kind
	others   map[string]*Elsewhere // versions that somebody else answers for
}

func (g *groupVersions) add(version string, priority int32) {
	if g.priority = max(g.priority, priority); !slices.Contains(g.versions, version) {
		g.versions = append(g.versions, version)
	}
}

// rank is the priority of a version among those of its group.
func (g *groupVersions) rank(version string) int32 {
	if o := g.others[version]; o != nil {
		return o.VersionPriority
	}
	return priorityOf(g.name, version).Version
}

func priorityOf(group, version string) apiregistration.Priority {
	if p, ok := apiregistration.PriorityOf(schema.GroupVersion{Group: group, Version: version}); ok {
		return p
	}
	return apiregistration.Custom
}

// groups brings what is served into the order in which clients are told of it: upstream's own groups, then those of custom
// resources, and those of others wherever their priority has them.
func groups(kinds *api.Kinds, others []Elsewhere) []*groupVersions {
	var out []*groupVersions
	byName := map[string]*groupVersions{}
	group := func(name string) *groupVersions {
		g := byName[name]
		if g == nil {
			g = &groupVersions{name: name, kinds: map[string][]*api.Kind{}, others: map[string]*Elsewhere{}}
			byName[name] = g
			out = append(out, g)
		}
		return g
	}
	for i := range others {
		o := &others[i]
		g := group(o.Group)
		g.others[o.Version] = o
		g.add(o.Version, o.GroupPriority)
	}
	for _, k := range kinds.All() {
		g := group(k.Group)
		if g.others[k.Version] == nil {
			g.add(k.Version, priorityOf(k.Group, k.Version).Group)
			g.kinds[k.Version] = append(g.kinds[k.Version], k)
		}
	}
	slices.SortStableFunc(out, func(a, b *groupVersions) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), strings.Compare(a.name, b.name))
	})
	for _, g := range out {
		slices.SortStableFunc(g.versions, func(a, b string) int {
			return cmp.Or(cmp.Compare(g.rank(b), g.rank(a)), -version.CompareKubeAwareVersionStrings(a, b))
		})
		for _, list := range g.kinds {
			slices.SortStableFunc(list, func(a, b *api.Kind) int { return strings.Compare(a.Resource, b.Resource) })
		}
	}
	return out
}
