package networking

import (
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// ServiceCIDRs is the kind ServiceCIDR.
func ServiceCIDRs() *api.Kind {
	return &api.Kind{
		Group: networkingv1.GroupName, Version: "v1", Kind: "ServiceCIDR", Resource: "servicecidrs", Singular: "servicecidr",
		New:     func() api.Object { return &networkingv1.ServiceCIDR{} },
		NewList: func() runtime.Object { return &networkingv1.ServiceCIDRList{} },

		PrepareCreate:  api.On(func(c *networkingv1.ServiceCIDR) { c.Status = networkingv1.ServiceCIDRStatus{} }),
		PrepareUpdate:  api.OnChange(func(c, old *networkingv1.ServiceCIDR) { c.Status = old.Status }),
		Validate:       api.Check(validateRange),
		ValidateUpdate: api.CheckChange(validateRangeUpdate),
		Unconditional:  true,
		Subresources: []api.Subresource{{
			Name: "status", Verbs: statusVerbs,
			PrepareUpdate: api.OnChange(func(c, old *networkingv1.ServiceCIDR) {
				c.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(&c.ObjectMeta, &old.ObjectMeta)
			}),
			ResetFields: []string{"metadata", "spec"},
		}},
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("CIDRs", "string", networkingv1.ServiceCIDRSpec{}.SwaggerDoc()["cidrs"]),
			api.AgeColumn(),
		},
		Row: api.Cells(func(c *networkingv1.ServiceCIDR) []any {
			return []any{c.Name, strings.Join(c.Spec.CIDRs, ","), c.CreationTimestamp}
		}),
	}
}

func validateRange(c *networkingv1.ServiceCIDR) field.ErrorList {
	path, cidrs := field.NewPath("spec", "cidrs"), c.Spec.CIDRs
	if len(cidrs) == 0 {
		return valid.Required(path, "at least one CIDR required")
	}
	if len(cidrs) > 2 {
		return valid.Invalid(path, valid.Internal(c.Spec), "may only hold up to 2 values")
	}
	var errs field.ErrorList
	for i, s := range cidrs {
		errs = append(errs, validation.IsValidCIDR(path.Index(i), s)...)
	}
	if len(cidrs) == 2 {
		family := netutils.IPFamilyOfCIDRString(cidrs[0])
		if family == netutils.IPFamilyOfCIDRString(cidrs[1]) && family != netutils.IPFamilyUnknown {
			errs = append(errs, field.Invalid(path, cidrs, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"))
		}
	}
	return errs
}

// validateRangeUpdate lets a range of the other family be added, and nothing else change.
func validateRangeUpdate(c, old *networkingv1.ServiceCIDR) field.ErrorList {
	const msg = "field is immutable"
	path := field.NewPath("spec", "cidrs")
	now, was := c.Spec.CIDRs, old.Spec.CIDRs
	adds := len(was) == 1 && len(now) == 2
	if len(now) != len(was) && !adds {
		return valid.Invalid(path, now, msg)
	}
	var errs field.ErrorList
	for i, s := range was {
		if now[i] != s {
			errs = append(errs, field.Invalid(path.Index(i), now[i], msg))
		}
	}
	if adds {
		errs = append(errs, validateRange(c)...)
	}
	return errs
}
