package valid

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// ServiceAddresses checks clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy, each and against each other. Addresses that old has
// are not looked at again.
func ServiceAddresses(s, old *corev1.Service) field.ErrorList {
	spec := &s.Spec
	if spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	var errs field.ErrorList
	ipsPath, familiesPath := field.NewPath("spec", "clusterIPs"), field.NewPath("spec", "ipFamilies")
	switch ips := spec.ClusterIPs; {
	case spec.ClusterIP == "" && len(ips) > 0:
		errs = append(errs, field.Invalid(ipsPath, ips, "must be empty when `clusterIP` is not specified"))
	case spec.ClusterIP != "" && len(ips) == 0:
		errs = append(errs, field.Required(ipsPath, ""))
	case spec.ClusterIP != "" && ips[0] != spec.ClusterIP:
		errs = append(errs, field.Invalid(ipsPath, ips, "first value must match `clusterIP`"))
	}
	for i, f := range spec.IPFamilies {
		errs = append(errs, OneOf(f, familiesPath.Index(i), corev1.IPv4Protocol, corev1.IPv6Protocol)...)
		if slices.Contains(spec.IPFamilies[:i], f) {
			errs = append(errs, field.Duplicate(familiesPath.Index(i), f))
		}
	}
	if spec.IPFamilyPolicy != nil {
		errs = append(errs, OneOf(*spec.IPFamilyPolicy, field.NewPath("spec", "ipFamilyPolicy"), corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack, corev1.IPFamilyPolicySingleStack)...)
	}
	wrong := false
	for i, ip := range spec.ClusterIPs {
		var bad field.ErrorList
		if i > 0 || ip != corev1.ClusterIPNone {
			bad = IP(ip, old.Spec.ClusterIPs, ipsPath.Index(i))
		} else if len(spec.ClusterIPs) > 1 {
			bad = Invalid(ipsPath, spec.ClusterIPs, "'None' must be the first and only value")
		}
		wrong = wrong || len(bad) > 0
		errs = append(errs, bad...)
	}
	if len(spec.ClusterIPs) > 2 {
		errs = append(errs, field.Invalid(ipsPath, spec.ClusterIPs, "may only hold up to 2 values"))
	}
	if wrong {
		return errs // what follows would only say the same again
	}
	if len(spec.ClusterIPs) > 1 {
		if dual, err := netutils.IsDualStackIPStrings(spec.ClusterIPs); err != nil || !dual {
			errs = append(errs, field.Invalid(ipsPath, spec.ClusterIPs, "may specify no more than one IP for each IP family"))
		}
	}
	if len(spec.ClusterIPs) == 1 && spec.ClusterIPs[0] == corev1.ClusterIPNone {
		return errs
	}
	for i := range min(len(spec.ClusterIPs), len(spec.IPFamilies)) {
		ip := spec.ClusterIPs[i]
		expected := spec.IPFamilies[i]
		if is6 := netutils.IsIPv6String(ip); is6 && expected == corev1.IPv4Protocol || !is6 && expected == corev1.IPv6Protocol {
			errs = append(errs, field.Invalid(ipsPath.Index(i), ip, fmt.Sprintf("expected an %s value as indicated by `ipFamilies[%v]`", expected, i)))
		}
	}
	return errs
}
