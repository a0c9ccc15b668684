package bootstrap

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apiregistration"
	"sampan.dev/internal/client"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// apiServices are those of the group versions that the hub answers for from the start.
func apiServices(kinds *api.Kinds) []api.Object {
	if kinds == nil || kinds.Resource(client.APIServices) == nil {
		return nil
	}
	var out []api.Object
	seen := map[schema.GroupVersion]bool{}
	for _, k := range kinds.All() {
		gv := k.GVK().GroupVersion()
		if seen[gv] {
			continue
		}
		seen[gv] = true
		if s := apiregistration.Local(gv); s != nil {
			out = append(out, s)
		}
	}
	return out
}
