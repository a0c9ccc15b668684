package rest

import (
	"sampan.dev/internal/api"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// scales has the columns of scale subresources, whosesoever they are.
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
