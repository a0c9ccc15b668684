package discovery

import (
	"slices"

	"sampan.dev/internal/api/valid"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

const (
	maxEndpoints = 1000
	maxAddresses = 100
	maxPorts     = 20000
	maxTopology  = 16
	maxHints     = 8
)

func validate(s *discoveryv1.EndpointSlice) field.ErrorList {
	return append(validateOuter(s), validateEndpoints(s)...)
}

func validateUpdate(s, old *discoveryv1.EndpointSlice) field.ErrorList {
	errs := validateOuter(s)
	if bad := validateEndpoints(s); len(bad) > 0 && !equality.Semantic.DeepEqual(s.Endpoints, old.Endpoints) {
		errs = append(errs, bad...)
	}
	return append(errs, valid.Immutable(s.AddressType, old.AddressType, field.NewPath("addressType"))...)
}

func validateOuter(s *discoveryv1.EndpointSlice) field.ErrorList {
	errs := valid.KubeFinalizers(s)
	errs = append(errs, valid.RequiredOneOf(s.AddressType, field.NewPath("addressType"), discoveryv1.AddressTypeFQDN, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6)...)
	path := field.NewPath("ports")
	if len(s.Ports) > maxPorts {
		return append(errs, field.TooMany(path, len(s.Ports), maxPorts))
	}
	names := map[string]bool{}
	for i := range s.Ports {
		errs = append(errs, validatePort(&s.Ports[i], names, path.Index(i))...)
	}
	return errs
}

func validatePort(p *discoveryv1.EndpointPort, names map[string]bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	name := ""
	if p.Name != nil {
		name = *p.Name
	}
	if name != "" {
		errs = append(errs, valid.DNSLabel(name, path.Child("name"))...)
	}
	if names[name] {
		errs = append(errs, field.Duplicate(path.Child("name"), name))
	}
	names[name] = true
	if p.Protocol == nil {
		errs = append(errs, field.Required(path.Child("protocol"), ""))
	} else {
		errs = append(errs, valid.OneOf(*p.Protocol, path.Child("protocol"), valid.Protocols()...)...)
	}
	if p.AppProtocol != nil {
		errs = append(errs, valid.QualifiedName(*p.AppProtocol, path.Child("appProtocol"))...)
	}
	return errs
}

func validateEndpoints(s *discoveryv1.EndpointSlice) field.ErrorList {
	path := field.NewPath("endpoints")
	if len(s.Endpoints) > maxEndpoints {
		return field.ErrorList{field.TooMany(path, len(s.Endpoints), maxEndpoints)}
	}
	var errs field.ErrorList
	for i := range s.Endpoints {
		errs = append(errs, validateEndpoint(&s.Endpoints[i], s.AddressType, path.Index(i))...)
	}
	return errs
}

func validateEndpoint(e *discoveryv1.Endpoint, typ discoveryv1.AddressType, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	addresses := path.Child("addresses")
	switch n := len(e.Addresses); {
	case n == 0:
		errs = append(errs, field.Required(addresses, ""))
	case n > maxAddresses:
		errs = append(errs, field.TooMany(addresses, n, maxAddresses))
	}
	for i, addr := range e.Addresses {
		errs = append(errs, validateAddress(addr, typ, addresses, i)...)
	}
	if e.NodeName != nil {
		errs = append(errs, valid.NodeName(*e.NodeName, path.Child("nodeName"))...)
	}
	if n := len(e.DeprecatedTopology); n > maxTopology {
		errs = append(errs, field.TooMany(path.Child("deprecatedTopology"), n, maxTopology))
	}
	errs = append(errs, valid.Labels(e.DeprecatedTopology, path.Child("deprecatedTopology"))...)
	if e.Hostname != nil {
		errs = append(errs, valid.DNSLabel(*e.Hostname, path.Child("hostname"))...)
	}
	if e.Hints != nil {
		errs = append(errs, validateHints(e.Hints, path.Child("hints"))...)
	}
	return errs
}

// validateAddress checks one address; the family is complained of at the list's path, as upstream does.
func validateAddress(addr string, typ discoveryv1.AddressType, list *field.Path, i int) field.ErrorList {
	path := list.Index(i)
	var errs field.ErrorList
	switch typ {
	case discoveryv1.AddressTypeIPv4:
		if errs = valid.IP(addr, nil, path); len(errs) > 0 {
			return errs
		}
		if !netutils.IsIPv4String(addr) {
			errs = append(errs, field.Invalid(list, addr, "must be an IPv4 address"))
		}
		return append(errs, valid.EndpointIP(addr, path)...)
	case discoveryv1.AddressTypeIPv6:
		if errs = validation.IsValidIP(path, addr); len(errs) > 0 {
			return errs
		}
		if !netutils.IsIPv6String(addr) {
			errs = append(errs, field.Invalid(list, addr, "must be an IPv6 address"))
		}
		return append(errs, valid.EndpointIP(addr, path)...)
	case discoveryv1.AddressTypeFQDN:
		return validation.IsFullyQualifiedDomainName(path, addr)
	}
	return nil
}

func validateHints(h *discoveryv1.EndpointHints, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	var zones, nodes []string
	zonesPath, nodesPath := path.Child("forZones"), path.Child("forNodes")
	if n := len(h.ForZones); n > maxHints {
		return field.ErrorList{field.TooMany(zonesPath, n, maxHints)}
	}
	for i, z := range h.ForZones {
		path := zonesPath.Index(i).Child("name")
		if slices.Contains(zones, z.Name) {
			errs = append(errs, field.Duplicate(path, z.Name))
		}
		zones = append(zones, z.Name)
		for _, msg := range validation.IsValidLabelValue(z.Name) {
			errs = append(errs, field.Invalid(path, z.Name, msg))
		}
	}
	if n := len(h.ForNodes); n > maxHints {
		return append(errs, field.TooMany(nodesPath, n, maxHints))
	}
	for i, node := range h.ForNodes {
		path := nodesPath.Index(i).Child("name")
		if slices.Contains(nodes, node.Name) {
			errs = append(errs, field.Duplicate(path, node.Name))
		}
		nodes = append(nodes, node.Name)
		errs = append(errs, valid.NodeName(node.Name, path)...)
	}
	return errs
}
