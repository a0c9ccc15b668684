package rest

import (
	"net/http"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/wire"

	"k8s.io/apimachinery/pkg/types"
)

var (
	listTypes   = append(slices.Clone(wire.ObjectTypes), wire.TypeJSON+";stream=watch", wire.TypeProto+";stream=watch")
	customTypes = []string{string(types.JSONPatchType), string(types.MergePatchType), string(types.ApplyYAMLPatchType)}
	patchTypes  = []types.PatchType{types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType, types.ApplyYAMLPatchType}
)

// mediaTypes refuses a request for a resource whose media types its route does not know at all, before anything looks at
// their parameters. The rules, which know no application/*, and the words are those of upstream's router.
// Those of custom resources are those of the handler that upstream has for them instead.
func mediaTypes(rt *route, k *api.Kind, r *http.Request) error {
	if rt.Verb == "patch" && k.Model != nil && !slices.Contains(customTypes, string(patchType(r))) {
		return wire.UnsupportedMedia(customTypes)
	}
	if rt.Verb == "patch" && !slices.Contains(patchTypes, patchType(r)) {
		return wire.Refused(http.StatusUnsupportedMediaType, "415: Unsupported Media Type")
	}
	if rt.Verb == "list" || rt.Verb == "watch" {
		return wire.Acceptable(r, listTypes)
	}
	return wire.Acceptable(r, wire.ObjectTypes)
}

// patchType is the media type of a patch without its parameters.
func patchType(r *http.Request) types.PatchType {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return types.PatchType(strings.TrimSpace(media))
}
