package discovery

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// EndpointSlices is the kind EndpointSlice.
func EndpointSlices() *api.Kind {
	doc := discoveryv1.EndpointSlice{}.SwaggerDoc()
	return &api.Kind{
		Group: "discovery.k8s.io", Version: "v1", Kind: "EndpointSlice", Resource: "endpointslices", Singular: "endpointslice",
		Namespaced: true,
		New:        func() api.Object { return &discoveryv1.EndpointSlice{} },
		NewList:    func() runtime.Object { return &discoveryv1.EndpointSliceList{} },

		Default: func(obj api.Object) {
			ports := obj.(*discoveryv1.EndpointSlice).Ports
			for i := range ports {
				if ports[i].Name == nil {
					ports[i].Name = new(string)
				}
				if ports[i].Protocol == nil {
					tcp := corev1.ProtocolTCP
					ports[i].Protocol = &tcp
				}
			}
		},
		PrepareCreate: func(obj api.Object) {
			s := obj.(*discoveryv1.EndpointSlice)
			s.Generation = 1
			dropTopology(s, &discoveryv1.EndpointSlice{})
		},
		PrepareUpdate: func(obj, old api.Object) {
			prepareUpdate(obj.(*discoveryv1.EndpointSlice), old.(*discoveryv1.EndpointSlice))
		},
		Validate: func(obj api.Object) field.ErrorList { return validate(obj.(*discoveryv1.EndpointSlice)) },
		ValidateUpdate: func(obj, old api.Object) field.ErrorList {
			return validateUpdate(obj.(*discoveryv1.EndpointSlice), old.(*discoveryv1.EndpointSlice))
		},
		Warnings: func(obj, old api.Object) []string {
			return warnings(obj.(*discoveryv1.EndpointSlice), old == nil)
		},
		Unconditional: true,
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("AddressType", "string", doc["addressType"]),
			api.Column("Ports", "string", doc["ports"]),
			api.Column("Endpoints", "string", doc["endpoints"]),
			api.AgeColumn(),
		},
		Row: func(obj api.Object) []any {
			s := obj.(*discoveryv1.EndpointSlice)
			return []any{s.Name, string(s.AddressType), formatPorts(s.Ports), formatEndpoints(s.Endpoints), s.CreationTimestamp}
		},
	}
}

func prepareUpdate(s, old *discoveryv1.EndpointSlice) {
	s.Generation = old.Generation
	if s.AddressType != old.AddressType || !equality.Semantic.DeepEqual(s.Endpoints, old.Endpoints) ||
		!equality.Semantic.DeepEqual(s.Ports, old.Ports) || !equality.Semantic.DeepEqual(s.Labels, old.Labels) {
		s.Generation++
	}
	dropTopology(s, old)
}

// dropTopology clears deprecatedTopology, which v1 does not write. The node name that an old version kept there becomes
// nodeName, so that a partial update does not lose it.
func dropTopology(s, old *discoveryv1.EndpointSlice) {
	if len(old.Endpoints) > 0 && equality.Semantic.DeepEqual(s.Endpoints, old.Endpoints) {
		return
	}
	var known []string
	for i := range old.Endpoints {
		known = append(known, old.Endpoints[i].DeprecatedTopology[corev1.LabelHostname])
	}
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		name := e.DeprecatedTopology[corev1.LabelHostname]
		if e.NodeName == nil && name != "" && slices.Contains(known, name) && len(valid.NodeName(name, nil)) == 0 {
			e.NodeName = &name
		}
		e.DeprecatedTopology = nil
	}
}

func warnings(s *discoveryv1.EndpointSlice, create bool) []string {
	var out []string
	if create && s.AddressType == discoveryv1.AddressTypeFQDN {
		out = append(out, "spec.addressType: FQDN endpoints are deprecated")
	}
	switch s.Labels[discoveryv1.LabelManagedBy] {
	case "endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io":
		return out // our own controllers write addresses right
	}
	if s.AddressType == discoveryv1.AddressTypeFQDN {
		return out
	}
	for i := range s.Endpoints {
		for j, addr := range s.Endpoints[i].Addresses {
			out = append(out, validation.GetWarningsForIP(field.NewPath("endpoints").Index(i).Child("addresses").Index(j), addr)...)
		}
	}
	return out
}

func formatPorts(ports []discoveryv1.EndpointPort) string {
	var list []string
	for _, p := range ports {
		switch {
		case p.Port != nil:
			list = append(list, strconv.Itoa(int(*p.Port)))
		case p.Name != nil:
			list = append(list, *p.Name)
		default:
			list = append(list, "*")
		}
	}
	return firstThree(list, "<unset>")
}

func formatEndpoints(endpoints []discoveryv1.Endpoint) string {
	var list []string
	for i := range endpoints {
		list = append(list, endpoints[i].Addresses...)
	}
	return firstThree(list, "<unset>")
}

func firstThree(list []string, empty string) string {
	const limit = 3
	if len(list) <= limit {
		if out := strings.Join(list, ","); out != "" {
			return out
		}
		return empty
	}
	return fmt.Sprintf("%s + %d more...", strings.Join(list[:limit], ","), len(list)-limit)
}
