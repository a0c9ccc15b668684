package networking

import (
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// IPAddresses is the kind IPAddress, whose name is the address.
func IPAddresses() *api.Kind {
	return &api.Kind{
		Group: networkingv1.GroupName, Version: "v1", Kind: "IPAddress", Resource: "ipaddresses", Singular: "ipaddress",
		ShortNames: []string{"ip"},
		New:        func() api.Object { return &networkingv1.IPAddress{} },
		NewList:    func() runtime.Object { return &networkingv1.IPAddressList{} },

		ValidateName: func(name string, _ bool) (out []string) {
			for _, err := range validation.IsValidIP(&field.Path{}, name) {
				out = append(out, err.Detail)
			}
			return out
		},
		Validate:       api.Check(validateAddress),
		ValidateUpdate: api.CheckChange(validateAddressUpdate),
		Unconditional:  true,
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("ParentRef", "string", networkingv1.IPAddressSpec{}.SwaggerDoc()["parentRef"]),
		},
		Row: api.Cells(func(a *networkingv1.IPAddress) []any { return []any{a.Name, parentCell(a.Spec.ParentRef)} }),
	}
}

func parentCell(r *networkingv1.ParentReference) string {
	if r == nil {
		return "<none>"
	}
	out := strings.ToLower(schema.GroupResource{Group: r.Group, Resource: r.Resource}.String())
	if r.Namespace != "" {
		out += "/" + r.Namespace
	}
	return out + "/" + r.Name
}

func validateAddress(a *networkingv1.IPAddress) field.ErrorList {
	path, r := field.NewPath("spec", "parentRef"), a.Spec.ParentRef
	if r == nil {
		return valid.Required(path, "")
	}
	var errs, last field.ErrorList // last is what upstream's generated rules say
	if r.Group != "" {
		errs = append(errs, valid.Messages(path.Child("group"), r.Group, validation.IsDNS1123Subdomain(r.Group))...)
	}
	for _, n := range []struct{ name, value string }{{"resource", r.Resource}, {"name", r.Name}} {
		if n.value == "" {
			last = append(last, field.Required(path.Child(n.name), ""))
		} else {
			errs = append(errs, segment(n.value, path.Child(n.name))...)
		}
	}
	if r.Namespace != "" {
		errs = append(errs, segment(r.Namespace, path.Child("namespace"))...)
	}
	return append(errs, last...)
}

func validateAddressUpdate(a, old *networkingv1.IPAddress) field.ErrorList {
	errs := validateAddress(a)
	if !equality.Semantic.DeepEqual(a.Spec.ParentRef, old.Spec.ParentRef) {
		path := field.NewPath("spec", "parentRef")
		errs = append(errs, field.Invalid(path, nil, "field is immutable"))
	}
	return errs
}
