package core

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Endpoints is the kind Endpoints.
func Endpoints() *api.Kind {
	return &api.Kind{
		Version: "v1", Kind: "Endpoints", Resource: "endpoints", Singular: "endpoints",
		ShortNames: []string{"ep"}, Namespaced: true, Prefix: "services/endpoints",
		Deprecated: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",

		New:     func() api.Object { return &corev1.Endpoints{} },
		NewList: func() runtime.Object { return &corev1.EndpointsList{} },

		Default: api.On(func(ep *corev1.Endpoints) {
			for i := range ep.Subsets {
				for j := range ep.Subsets[i].Ports {
					setDefault(&ep.Subsets[i].Ports[j].Protocol, corev1.ProtocolTCP)
				}
			}
		}),
		Validate: api.Check(validateEndpoints),
		ValidateUpdate: api.CheckChange(func(ep, old *corev1.Endpoints) field.ErrorList {
			errs := validateEndpoints(ep)
			if len(errs) > 0 && equality.Semantic.DeepEqual(ep.Subsets, old.Subsets) {
				return valid.KubeFinalizers(ep) // what is stored was valid once
			}
			return errs
		}),
		Warnings:       func(obj, _ api.Object) []string { return endpointsWarnings(obj.(*corev1.Endpoints)) },
		CreateOnUpdate: true,
		Unconditional:  true,
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(), api.Column("Endpoints", "string", corev1.Endpoints{}.SwaggerDoc()["subsets"]), api.AgeColumn(),
		},
		Row: api.Cells(func(ep *corev1.Endpoints) []any {
			return []any{ep.Name, formatSubsets(ep.Subsets), ep.CreationTimestamp}
		}),
	}
}

func validateEndpoints(ep *corev1.Endpoints) field.ErrorList {
	errs := valid.KubeFinalizers(ep)
	for i := range ep.Subsets {
		s, path := &ep.Subsets[i], field.NewPath("subsets").Index(i)
		if len(s.Addresses) == 0 && len(s.NotReadyAddresses) == 0 {
			errs = append(errs, field.Required(path, "must specify `addresses` or `notReadyAddresses`"))
		}
		for j := range s.Addresses {
			errs = append(errs, endpointAddress(&s.Addresses[j], path.Child("addresses").Index(j))...)
		}
		for j := range s.NotReadyAddresses {
			errs = append(errs, endpointAddress(&s.NotReadyAddresses[j], path.Child("notReadyAddresses").Index(j))...)
		}
		for j := range s.Ports {
			errs = append(errs, endpointPort(&s.Ports[j], len(s.Ports) > 1, path.Child("ports").Index(j))...)
		}
	}
	return errs
}

func endpointAddress(a *corev1.EndpointAddress, path *field.Path) field.ErrorList {
	errs := valid.IP(a.IP, nil, path.Child("ip"))
	if a.Hostname != "" {
		errs = append(errs, valid.DNSLabel(a.Hostname, path.Child("hostname"))...)
	}
	if a.NodeName != nil {
		errs = append(errs, valid.NodeName(*a.NodeName, path.Child("nodeName"))...)
	}
	return append(errs, valid.EndpointIP(a.IP, path.Child("ip"))...)
}

func endpointPort(p *corev1.EndpointPort, named bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.Name != "" {
		errs = append(errs, valid.DNSLabel(p.Name, path.Child("name"))...)
	} else if named {
		errs = append(errs, field.Required(path.Child("name"), ""))
	}
	errs = append(errs, valid.Port(p.Port, path.Child("port"))...)
	errs = append(errs, valid.RequiredOneOf(p.Protocol, path.Child("protocol"), valid.Protocols()...)...)
	if p.AppProtocol != nil {
		errs = append(errs, valid.QualifiedName(*p.AppProtocol, path.Child("appProtocol"))...)
	}
	return errs
}

func endpointsWarnings(ep *corev1.Endpoints) []string {
	if ep.Labels["endpoints.kubernetes.io/managed-by"] == "endpoint-controller" {
		return nil // our own controller writes addresses right
	}
	var out []string
	for i := range ep.Subsets {
		s, path := &ep.Subsets[i], field.NewPath("subsets").Index(i)
		for j := range s.Addresses {
			out = append(out, validation.GetWarningsForIP(path.Child("addresses").Index(j).Child("ip"), s.Addresses[j].IP)...)
		}
		for j := range s.NotReadyAddresses {
			out = append(out, validation.GetWarningsForIP(path.Child("notReadyAddresses").Index(j).Child("ip"), s.NotReadyAddresses[j].IP)...)
		}
	}
	return out
}

// formatSubsets prints the first three ready endpoints and how many more there are.
func formatSubsets(subsets []corev1.EndpointSubset) string {
	const limit = 3
	if len(subsets) == 0 {
		return none
	}
	var list []string
	total := 0
	add := func(endpoint string) {
		if total++; len(list) < limit {
			list = append(list, endpoint)
		}
	}
	for i := range subsets {
		s := &subsets[i]
		for j := range s.Ports {
			for k := range s.Addresses {
				add(net.JoinHostPort(s.Addresses[k].IP, strconv.Itoa(int(s.Ports[j].Port))))
			}
		}
		for k := range s.Addresses {
			if len(s.Ports) == 0 { // headless
				add(s.Addresses[k].IP)
			}
		}
	}
	out := strings.Join(list, ",")
	if total > limit {
		return fmt.Sprintf("%s + %d more...", out, total-limit)
	}
	return out
}
