package valid

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// IP checks an address strictly: no leading zeros, no IPv4 in IPv6. Values among old are let pass.
func IP(value string, old []string, path *field.Path) field.ErrorList {
	return validation.IsValidIPForLegacyField(path, value, true, old)
}

// CIDR checks a network strictly. Values among old are let pass.
func CIDR(value string, old []string, path *field.Path) field.ErrorList {
	return validation.IsValidCIDRForLegacyField(path, value, true, old)
}

// EndpointIP checks that traffic may be sent to an address: it is not unspecified, loopback or link-local, which would
// reach something on the node that sends it.
func EndpointIP(value string, path *field.Path) field.ErrorList {
	ip := netutils.ParseIPSloppy(value)
	if ip == nil {
		return Invalid(path, value, "must be a valid IP address")
	}
	var errs field.ErrorList
	if ip.IsUnspecified() {
		errs = append(errs, field.Invalid(path, value, fmt.Sprintf("may not be unspecified (%v)", value)))
	}
	if ip.IsLoopback() {
		errs = append(errs, field.Invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
	}
	if ip.IsLinkLocalUnicast() {
		errs = append(errs, field.Invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
	}
	if ip.IsLinkLocalMulticast() {
		errs = append(errs, field.Invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"))
	}
	return errs
}
