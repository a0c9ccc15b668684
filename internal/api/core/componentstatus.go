package core

import (
	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// ComponentStatuses is the kind ComponentStatus: how the scheduler, the controllers and the store are. Objects are made when they are
// read; upstream has advised against it since v1.19.
func ComponentStatuses() *api.Kind {
	return &api.Kind{
		Version: "v1", Kind: "ComponentStatus", Resource: "componentstatuses", Singular: "componentstatus", ShortNames: []string{"cs"},
		New:        func() api.Object { return &corev1.ComponentStatus{} },
		NewList:    func() runtime.Object { return &corev1.ComponentStatusList{} },
		Verbs:      []string{"get", "list"},
		Virtual:    true,
		Unowned:    true,
		Deprecated: "v1 ComponentStatus is deprecated in v1.19+",
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("Status", "string", "Status of the component conditions"),
			api.Column("Message", "string", "Message of the component conditions"),
			api.Column("Error", "string", "Error of the component conditions"),
		},
		Row: api.Cells(func(s *corev1.ComponentStatus) []any {
			for _, c := range s.Conditions {
				if c.Type != corev1.ComponentHealthy {
					continue
				}
				status := "Unhealthy"
				if c.Status == corev1.ConditionTrue {
					status = "Healthy"
				}
				return []any{s.Name, status, c.Message, c.Error}
			}
			return []any{s.Name, "Unknown", "", ""}
		}),
	}
}
