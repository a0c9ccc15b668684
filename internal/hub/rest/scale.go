package rest

import (
	"sampan.dev/internal/api"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// scales describes how a Scale is printed as a table. The scale subresources of all kinds share it, because each answers with
// an autoscaling/v1 Scale.
var scales = &api.Kind{
	Group: "autoscaling", Version: "v1", Kind: "Scale",
	Columns: []metav1.TableColumnDefinition{
		api.Column("Name", "string", metav1.ObjectMeta{}.SwaggerDoc()["name"]), // not marked as the name
		api.Column("Desired", "integer", autoscalingv1.ScaleSpec{}.SwaggerDoc()["replicas"]),
		api.Column("Available", "integer", autoscalingv1.ScaleStatus{}.SwaggerDoc()["replicas"]),
		api.AgeColumn(),
	},
	Row: api.Cells(func(s *autoscalingv1.Scale) []any {
		return []any{s.Name, int64(s.Spec.Replicas), int64(s.Status.Replicas), s.CreationTimestamp}
	}),
}

// scalesOf is scales with the columns of the kind's own scale, if it has some.
func scalesOf(s *api.Scale) *api.Kind {
	if s.Columns == nil {
		return scales
	}
	own := *scales
	own.Columns = s.Columns
	return &own
}
