package discovery

import (
	"slices"
	"strings"

	"sampan.dev/internal/api"
	apigroup "sampan.dev/internal/api/group"

	"k8s.io/apimachinery/pkg/version"
)

// groupVersions are the kinds of one API group, by version.
type groupVersions struct {
	name     string
	versions []string // preferred first
	kinds    map[string][]*api.Kind
}

func groups(kinds *api.Kinds) []*groupVersions {
	var out []*groupVersions
	byName := map[string]*groupVersions{}
	for _, k := range kinds.All() {
		g := byName[k.Group]
		if g == nil {
			g = &groupVersions{name: k.Group, kinds: map[string][]*api.Kind{}}
			byName[k.Group] = g
			out = append(out, g)
		}
		if !slices.Contains(g.versions, k.Version) {
			g.versions = append(g.versions, k.Version)
		}
		g.kinds[k.Version] = append(g.kinds[k.Version], k)
	}
	slices.SortStableFunc(out, func(a, b *groupVersions) int {
		if d := apigroup.Rank(a.name) - apigroup.Rank(b.name); d != 0 {
			return d
		}
		return strings.Compare(a.name, b.name)
	})
	for _, g := range out {
		slices.SortStableFunc(g.versions, func(a, b string) int { return -version.CompareKubeAwareVersionStrings(a, b) })
		for _, list := range g.kinds {
			slices.SortStableFunc(list, func(a, b *api.Kind) int { return strings.Compare(a.Resource, b.Resource) })
		}
	}
	return out
}
