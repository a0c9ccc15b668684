package apps

import (
	"encoding/json"
	"fmt"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ControllerRevisions is the kind ControllerRevision.
func ControllerRevisions() *api.Kind {
	return &api.Kind{
		Group: "apps", Version: "v1", Kind: "ControllerRevision", Resource: "controllerrevisions", Singular: "controllerrevision",
		Namespaced: true,
		New:        func() api.Object { return &appsv1.ControllerRevision{} },
		NewList:    func() runtime.Object { return &appsv1.ControllerRevisionList{} },

		Validate: api.Check(func(r *appsv1.ControllerRevision) field.ErrorList {
			return append(checkRevision(r), checkRevisionData(r.Data.Raw)...)
		}),
		ValidateUpdate: api.CheckChange(func(r, old *appsv1.ControllerRevision) field.ErrorList {
			return append(checkRevision(r), valid.Immutable(r.Data, old.Data, field.NewPath("data"))...)
		}),
		Unconditional: true,
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("Controller", "string", "Controller of the object"),
			api.Column("Revision", "string", appsv1.ControllerRevision{}.SwaggerDoc()["revision"]),
			api.AgeColumn(),
		},
		Row: api.Cells(func(r *appsv1.ControllerRevision) []any {
			return []any{r.Name, controllerCell(r), r.Revision, r.CreationTimestamp}
		}),
	}
}

func checkRevision(r *appsv1.ControllerRevision) field.ErrorList {
	return valid.NonNegative(r.Revision, field.NewPath("revision"))
}

func checkRevisionData(raw []byte) field.ErrorList {
	path := field.NewPath("data")
	if raw == nil {
		return field.ErrorList{field.Required(path, "data is mandatory")}
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return field.ErrorList{field.Invalid(path, "<value omitted>", fmt.Sprintf("error parsing data: %v", err))}
	}
	if v == nil {
		return field.ErrorList{field.Required(path, "data is mandatory")}
	}
	if _, ok := v.(map[string]any); !ok {
		return field.ErrorList{field.Required(path, "data must be a valid JSON object")}
	}
	return nil
}

// controllerCell names the owner that controls obj as "kind.group/name".
func controllerCell(obj metav1.Object) string {
	ref := metav1.GetControllerOf(obj)
	if ref == nil {
		return "<none>"
	}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil || ref.Kind == "" {
		return ref.Name
	}
	return strings.ToLower(schema.GroupKind{Group: gv.Group, Kind: ref.Kind}.String()) + "/" + ref.Name
}
