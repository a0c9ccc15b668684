package hub

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"sampan.dev/internal/hub/wire"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var (
	objectTypes = []string{wire.TypeJSON, wire.TypeYAML, wire.TypeProto}
	listTypes   = append(slices.Clone(objectTypes), wire.TypeJSON+";stream=watch", wire.TypeProto+";stream=watch")
	patchTypes  = []types.PatchType{types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType, types.ApplyYAMLPatchType}
)

// mediaTypes refuses a request for a resource whose media types its route does not know at all, before anything looks at
// their parameters. The rules, which know no application/*, and the words are those of upstream's router.
func mediaTypes(rt *route, r *http.Request) error {
	if rt.Verb == "patch" && !slices.Contains(patchTypes, patchType(r)) {
		return refused(http.StatusUnsupportedMediaType, "415: Unsupported Media Type")
	}
	if rt.Verb == "list" || rt.Verb == "watch" {
		return acceptable(r, listTypes)
	}
	return acceptable(r, objectTypes)
}

// acceptable answers with a 406 when the client accepts none of what there is.
func acceptable(r *http.Request, offered []string) error {
	header := r.Header.Get("Accept")
	if header == "" {
		return nil
	}
	for part := range strings.SplitSeq(header, ",") {
		media, _, _ := strings.Cut(part, ";")
		if media = strings.TrimSpace(media); media == "*/*" || slices.Contains(offered, media) {
			return nil
		}
	}
	return refused(http.StatusNotAcceptable, fmt.Sprintf("406: Not Acceptable\n\nAvailable representations: %s", strings.Join(offered, ", ")))
}

func refused(code int, message string) error {
	return apierrors.NewGenericServerResponse(code, "", schema.GroupResource{}, "", message, 0, false)
}

// patchType is the media type of a patch without its parameters.
func patchType(r *http.Request) types.PatchType {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return types.PatchType(strings.TrimSpace(media))
}
