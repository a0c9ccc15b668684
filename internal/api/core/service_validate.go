package core

import (
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateServiceCreate(s *corev1.Service) field.ErrorList {
	return append(valid.KubeFinalizers(s), validateService(s, &corev1.Service{})...)
}

func validateServiceUpdate(s, old *corev1.Service) field.ErrorList {
	errs := valid.KubeFinalizers(s)
	errs = append(errs, clusterIPChange(s, old)...)
	errs = append(errs, familyChange(s, old)...)
	if isBalanced(s) && isBalanced(old) && !equalPtr(s.Spec.LoadBalancerClass, old.Spec.LoadBalancerClass) {
		errs = append(errs, field.Invalid(field.NewPath("spec", "loadBalancerClass"), s.Spec.LoadBalancerClass, "may not change once set"))
	}
	if needsHealthPort(s) && needsHealthPort(old) && s.Spec.HealthCheckNodePort != old.Spec.HealthCheckNodePort {
		errs = append(errs, field.Forbidden(field.NewPath("spec", "healthCheckNodePort"), "field is immutable"))
	}
	return append(errs, validateService(s, old)...)
}

// validateService checks a service. Addresses that old has are not looked at again; old is empty on create.
func validateService(s, old *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	spec, path := &s.Spec, field.NewPath("spec")
	const hints, mode = corev1.DeprecatedAnnotationTopologyAwareHints, corev1.AnnotationTopologyMode
	hintsValue, hasHints := s.Annotations[hints]
	modeValue, hasMode := s.Annotations[mode]
	if hasHints && hasMode && hintsValue != modeValue {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "annotations").Key(mode), modeValue, fmt.Sprintf("must match annotations[%s] when both are specified", hints)))
	}
	if len(spec.Ports) == 0 && !isHeadless(s) && spec.Type != corev1.ServiceTypeExternalName {
		errs = append(errs, field.Required(path.Child("ports"), ""))
	}
	errs = append(errs, serviceType(s)...)
	names := map[string]bool{}
	for i := range spec.Ports {
		errs = append(errs, servicePort(&spec.Ports[i], len(spec.Ports) > 1, names, path.Child("ports").Index(i))...)
	}
	errs = append(errs, valid.Labels(spec.Selector, path.Child("selector"))...)
	errs = append(errs, sessionAffinity(spec)...)
	errs = append(errs, valid.ServiceAddresses(s, old)...)
	for i, ip := range spec.ExternalIPs {
		path := path.Child("externalIPs").Index(i)
		if bad := valid.IP(ip, old.Spec.ExternalIPs, path); len(bad) > 0 {
			errs = append(errs, bad...)
		} else {
			errs = append(errs, valid.EndpointIP(ip, path)...)
		}
	}
	errs = append(errs, valid.RequiredOneOf(spec.Type, path.Child("type"), corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort)...)
	errs = append(errs, portClashes(spec)...)
	errs = append(errs, sourceRanges(s, old)...)
	errs = append(errs, loadBalancer(spec)...)
	return append(errs, trafficPolicies(s)...)
}

// serviceType checks what the type forbids or requires.
func serviceType(s *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	spec, path := &s.Spec, field.NewPath("spec")
	switch spec.Type {
	case corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort:
		if isHeadless(s) {
			errs = append(errs, field.Invalid(path.Child("clusterIPs").Index(0), spec.ClusterIPs[0], fmt.Sprintf("may not be set to 'None' for %s services", spec.Type)))
		}
	case corev1.ServiceTypeExternalName:
		const msg = "may not be set for ExternalName services"
		if len(spec.ClusterIPs) > 0 {
			errs = append(errs, field.Forbidden(path.Child("clusterIPs"), msg))
		}
		if len(spec.IPFamilies) > 0 {
			errs = append(errs, field.Forbidden(path.Child("ipFamilies"), msg))
		}
		if spec.IPFamilyPolicy != nil {
			errs = append(errs, field.Forbidden(path.Child("ipFamilyPolicy"), msg))
		}
		if name := strings.TrimSuffix(spec.ExternalName, "."); name == "" {
			errs = append(errs, field.Required(path.Child("externalName"), ""))
		} else {
			errs = append(errs, valid.DNSSubdomain(name, path.Child("externalName"))...)
		}
	}
	return errs
}

func servicePort(p *corev1.ServicePort, named bool, names map[string]bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.Name != "" {
		errs = append(errs, valid.DNSLabel(p.Name, path.Child("name"))...)
		if names[p.Name] {
			errs = append(errs, field.Duplicate(path.Child("name"), p.Name))
		}
		names[p.Name] = true
	} else if named {
		errs = append(errs, field.Required(path.Child("name"), ""))
	}
	errs = append(errs, valid.Port(p.Port, path.Child("port"))...)
	errs = append(errs, valid.RequiredOneOf(p.Protocol, path.Child("protocol"), valid.Protocols()...)...)
	errs = append(errs, valid.PortOrName(p.TargetPort, path.Child("targetPort"))...)
	if p.AppProtocol != nil {
		errs = append(errs, valid.QualifiedName(*p.AppProtocol, path.Child("appProtocol"))...)
	}
	return errs
}

func portClashes(spec *corev1.ServiceSpec) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("spec", "ports")
	if spec.Type == corev1.ServiceTypeClusterIP {
		for i, p := range spec.Ports {
			if p.NodePort != 0 {
				errs = append(errs, field.Forbidden(path.Index(i).Child("nodePort"), "may not be used when `type` is 'ClusterIP'"))
			}
		}
	}
	seen := map[corev1.ServicePort]bool{}
	for i, p := range spec.Ports {
		key := corev1.ServicePort{Protocol: p.Protocol, NodePort: p.NodePort}
		if p.NodePort != 0 && seen[key] {
			errs = append(errs, field.Duplicate(path.Index(i).Child("nodePort"), p.NodePort))
		}
		seen[key] = true
	}
	seen = map[corev1.ServicePort]bool{}
	for i, p := range spec.Ports {
		key := corev1.ServicePort{Protocol: p.Protocol, Port: p.Port}
		if seen[key] {
			errs = append(errs, field.Duplicate(path.Index(i), shownPort(key)))
		}
		seen[key] = true
	}
	return errs
}

func sessionAffinity(spec *corev1.ServiceSpec) field.ErrorList {
	path := field.NewPath("spec", "sessionAffinityConfig")
	errs := valid.RequiredOneOf(spec.SessionAffinity, field.NewPath("spec", "sessionAffinity"), corev1.ServiceAffinityClientIP, corev1.ServiceAffinityNone)
	c := spec.SessionAffinityConfig
	const needed = "when session affinity type is " + string(corev1.ServiceAffinityClientIP)
	switch {
	case spec.SessionAffinity == corev1.ServiceAffinityNone:
		if c != nil {
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("must not be set when session affinity is %s", corev1.ServiceAffinityNone)))
		}
	case spec.SessionAffinity != corev1.ServiceAffinityClientIP:
	case c == nil:
		errs = append(errs, field.Required(path, needed))
	case c.ClientIP == nil:
		errs = append(errs, field.Required(path.Child("clientIP"), needed))
	case c.ClientIP.TimeoutSeconds == nil:
		errs = append(errs, field.Required(path.Child("clientIP", "timeoutSeconds"), needed))
	default:
		const longest = 86400
		if t := *c.ClientIP.TimeoutSeconds; t <= 0 || t > longest {
			errs = append(errs, field.Invalid(path.Child("clientIP", "timeoutSeconds"), t, fmt.Sprintf("must be greater than 0 and less than %d", longest)))
		}
	}
	return errs
}

func sourceRanges(s, old *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	const msg = "may only be used when `type` is 'LoadBalancer'"
	if ranges := s.Spec.LoadBalancerSourceRanges; len(ranges) > 0 {
		path := field.NewPath("spec", "LoadBalancerSourceRanges")
		if !isBalanced(s) {
			errs = append(errs, field.Forbidden(path, msg))
		}
		for i, cidr := range ranges {
			if !slices.Contains(old.Spec.LoadBalancerSourceRanges, cidr) {
				errs = append(errs, valid.CIDR(strings.TrimSpace(cidr), nil, path.Index(i))...)
			}
		}
		return errs
	}
	value, ok := s.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey]
	if !ok {
		return nil
	}
	path := field.NewPath("metadata", "annotations").Key(corev1.AnnotationLoadBalancerSourceRangesKey)
	if !isBalanced(s) {
		errs = append(errs, field.Forbidden(path, msg))
	}
	if strings.TrimSpace(value) == "" || old.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey] == value {
		return errs
	}
	for _, cidr := range strings.Split(value, ",") {
		errs = append(errs, valid.CIDR(strings.TrimSpace(cidr), nil, path)...)
	}
	return errs
}

func loadBalancer(spec *corev1.ServiceSpec) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("spec")
	balanced := spec.Type == corev1.ServiceTypeLoadBalancer
	if spec.AllocateLoadBalancerNodePorts != nil && !balanced {
		errs = append(errs, field.Forbidden(path.Child("allocateLoadBalancerNodePorts"), "may only be used when `type` is 'LoadBalancer'"))
	}
	if spec.AllocateLoadBalancerNodePorts == nil && balanced {
		errs = append(errs, field.Required(field.NewPath("allocateLoadBalancerNodePorts"), ""))
	}
	switch {
	case spec.LoadBalancerClass == nil:
	case balanced:
		errs = append(errs, valid.QualifiedName(*spec.LoadBalancerClass, path.Child("loadBalancerClass"))...)
	default:
		errs = append(errs, field.Forbidden(path.Child("loadBalancerClass"), "may only be used when `type` is 'LoadBalancer'"))
	}
	return errs
}

func trafficPolicies(s *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	spec, path := &s.Spec, field.NewPath("spec")
	if reachableFromOutside(s) {
		errs = append(errs, valid.RequiredOneOf(spec.ExternalTrafficPolicy, path.Child("externalTrafficPolicy"), corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal)...)
	} else if spec.ExternalTrafficPolicy != "" {
		errs = append(errs, field.Invalid(path.Child("externalTrafficPolicy"), spec.ExternalTrafficPolicy, "may only be set for externally-accessible services"))
	}
	switch port := spec.HealthCheckNodePort; {
	case !needsHealthPort(s):
		if port != 0 {
			errs = append(errs, field.Invalid(path.Child("healthCheckNodePort"), port, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
		}
	case port == 0:
		errs = append(errs, field.Required(path.Child("healthCheckNodePort"), ""))
	default:
		errs = append(errs, valid.Port(port, path.Child("healthCheckNodePort"))...)
	}
	if spec.InternalTrafficPolicy != nil {
		errs = append(errs, valid.OneOf(*spec.InternalTrafficPolicy, path.Child("internalTrafficPolicy"), corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal)...)
	} else if spec.Type == corev1.ServiceTypeClusterIP || needsNodePorts(s) {
		errs = append(errs, field.Required(path.Child("internalTrafficPolicy"), ""))
	}
	if d := spec.TrafficDistribution; d != nil {
		allowed := []string{corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode}
		if !slices.Contains(allowed, *d) {
			errs = append(errs, field.NotSupported(path.Child("trafficDistribution"), *d, allowed))
		}
	}
	return errs
}

// shownPort is a port as upstream's messages show it: by the names of its fields in Go.
type shownPort struct {
	Name        string
	Protocol    corev1.Protocol
	AppProtocol *string
	Port        int32
	TargetPort  intstr.IntOrString
	NodePort    int32
}
