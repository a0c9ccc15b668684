package apiregistration

import (
	"sampan.dev/internal/api"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
)

type service = apiregistrationv1.APIService

// APIServices is the kind APIService. One without spec.service stands for what the hub answers itself ("local"): it is available
// from the moment it is made, and nobody checks it.
func APIServices() *api.Kind {
	return &api.Kind{
		Group: apiregistrationv1.GroupName, Version: "v1", Kind: "APIService", Resource: "apiservices", Singular: "apiservice",
		Categories: []string{"api-extensions"}, Prefix: "apiregistration.k8s.io/apiservices",
		New:     func() api.Object { return &service{} },
		NewList: func() runtime.Object { return &apiregistrationv1.APIServiceList{} },
		Codec:   api.TypedJSON{},

		Default: api.On(func(s *service) {
			if s.Spec.Service != nil && s.Spec.Service.Port == nil {
				s.Spec.Service.Port = ptr.To[int32](443)
			}
		}),
		PrepareCreate: api.On(func(s *service) {
			s.Status = apiregistrationv1.APIServiceStatus{}
			if s.Spec.Service == nil {
				SetCondition(s, LocallyAvailable())
			}
		}),
		PrepareUpdate:  api.OnChange(func(s, old *service) { s.Status = old.Status }),
		Validate:       api.Check(validate),
		ValidateUpdate: api.CheckChange(validateUpdate),
		ValidateName:   validName,
		Subresources: []api.Subresource{{
			Name: "status", Verbs: []string{"get", "patch", "update"},
			PrepareUpdate: api.OnChange(func(s, old *service) {
				s.Spec, s.Labels, s.Annotations = old.Spec, old.Labels, old.Annotations
				s.Finalizers, s.OwnerReferences = old.Finalizers, old.OwnerReferences
			}),
			ValidateUpdate: api.CheckChange(validateStatus),
			ResetFields:    []string{"spec", "metadata"},
		}},
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("Service", "string", "The reference to the service that hosts this API endpoint."),
			api.Column("Available", "string", "Whether this service is available."),
			api.AgeColumn(),
		},
		Row: api.Cells(row),
	}
}

func row(s *service) []any {
	by := "Local"
	if s.Spec.Service != nil {
		by = s.Spec.Service.Namespace + "/" + s.Spec.Service.Name
	}
	available := string(apiregistrationv1.ConditionUnknown)
	if c := Condition(s, apiregistrationv1.Available); c != nil {
		available = string(c.Status)
		if c.Status != apiregistrationv1.ConditionTrue && c.Reason != "" {
			available += " (" + c.Reason + ")"
		}
	}
	return []any{s.Name, by, available, s.CreationTimestamp}
}
