package networking

import (
	"reflect"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// NetworkPolicies is the kind NetworkPolicy.
func NetworkPolicies() *api.Kind {
	return &api.Kind{
		Group: networkingv1.GroupName, Version: "v1", Kind: "NetworkPolicy", Resource: "networkpolicies", Singular: "networkpolicy",
		ShortNames: []string{"netpol"}, Namespaced: true,
		New:     func() api.Object { return &networkingv1.NetworkPolicy{} },
		NewList: func() runtime.Object { return &networkingv1.NetworkPolicyList{} },

		Default:       api.On(defaultPolicy),
		PrepareCreate: api.On(func(p *networkingv1.NetworkPolicy) { p.Generation = 1 }),
		PrepareUpdate: api.OnChange(func(p, old *networkingv1.NetworkPolicy) {
			p.Generation = old.Generation
			if !reflect.DeepEqual(p.Spec, old.Spec) { // here upstream tells an empty list from none
				p.Generation++
			}
		}),
		Validate:       api.Check(func(p *networkingv1.NetworkPolicy) field.ErrorList { return checkPolicy(p, nil) }),
		ValidateUpdate: api.CheckChange(checkPolicy),
		Warnings:       func(obj, _ api.Object) []string { return policyWarnings(obj.(*networkingv1.NetworkPolicy)) },
		Unconditional:  true,
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("Pod-Selector", "string", networkingv1.NetworkPolicySpec{}.SwaggerDoc()["podSelector"]),
			api.AgeColumn(),
		},
		Row: api.Cells(func(p *networkingv1.NetworkPolicy) []any {
			return []any{p.Name, metav1.FormatLabelSelector(&p.Spec.PodSelector), p.CreationTimestamp}
		}),
	}
}

func defaultPolicy(p *networkingv1.NetworkPolicy) {
	s := &p.Spec
	if len(s.PolicyTypes) == 0 {
		s.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(s.Egress) > 0 {
			s.PolicyTypes = append(s.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	for i := range s.Ingress {
		defaultPorts(s.Ingress[i].Ports)
	}
	for i := range s.Egress {
		defaultPorts(s.Egress[i].Ports)
	}
}

func defaultPorts(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		if ports[i].Protocol == nil {
			ports[i].Protocol = new(corev1.ProtocolTCP)
		}
	}
}

// eachRule visits the rules of a policy: its ports, and its peers, which are called from or to.
func eachRule(p *networkingv1.NetworkPolicy, visit func(path *field.Path, ports []networkingv1.NetworkPolicyPort, name string, peers []networkingv1.NetworkPolicyPeer)) {
	spec := field.NewPath("spec")
	for i, r := range p.Spec.Ingress {
		visit(spec.Child("ingress").Index(i), r.Ports, "from", r.From)
	}
	for i, r := range p.Spec.Egress {
		visit(spec.Child("egress").Index(i), r.Ports, "to", r.To)
	}
}

// policyWarnings tells of networks that are written in an unusual way.
func policyWarnings(p *networkingv1.NetworkPolicy) []string {
	var out []string
	eachRule(p, func(path *field.Path, _ []networkingv1.NetworkPolicyPort, name string, peers []networkingv1.NetworkPolicyPeer) {
		for i, peer := range peers {
			if peer.IPBlock == nil {
				continue
			}
			at := path.Child(name).Index(i).Child("ipBlock")
			out = append(out, validation.GetWarningsForCIDR(at.Child("cidr"), peer.IPBlock.CIDR)...)
			for j, except := range peer.IPBlock.Except {
				out = append(out, validation.GetWarningsForCIDR(at.Child("except").Index(j), except)...)
			}
		}
	})
	return out
}

// checkPolicy checks a policy; old is nil on create. Networks that old has anywhere are not looked at again.
func checkPolicy(p, old *networkingv1.NetworkPolicy) field.ErrorList {
	var known []string
	if old != nil {
		eachRule(old, func(_ *field.Path, _ []networkingv1.NetworkPolicyPort, _ string, peers []networkingv1.NetworkPolicyPeer) {
			for _, peer := range peers {
				if peer.IPBlock != nil {
					known = append(append(known, peer.IPBlock.CIDR), peer.IPBlock.Except...)
				}
			}
		})
	}
	path := field.NewPath("spec")
	errs := valid.LabelSelector(&p.Spec.PodSelector, path.Child("podSelector"))
	var last field.ErrorList // what upstream's generated rules say
	eachRule(p, func(path *field.Path, ports []networkingv1.NetworkPolicyPort, name string, peers []networkingv1.NetworkPolicyPeer) {
		for i := range ports {
			errs = append(errs, checkPort(&ports[i], path.Child("ports").Index(i))...)
		}
		for i := range peers {
			at := path.Child(name).Index(i)
			errs = append(errs, checkPeer(&peers[i], known, at)...)
			if b := peers[i].IPBlock; b != nil && b.CIDR == "" {
				last = append(last, field.Required(at.Child("ipBlock", "cidr"), ""))
			}
		}
	})
	errs = append(errs, checkTypes(p.Spec.PolicyTypes, path.Child("policyTypes"))...)
	return append(errs, last...)
}

func checkTypes(types []networkingv1.PolicyType, path *field.Path) field.ErrorList {
	if len(types) > 2 {
		return valid.Invalid(path, types, "may not specify more than two policyTypes")
	}
	var errs field.ErrorList
	for i, t := range types {
		errs = append(errs, valid.InOrder(t, path.Index(i), networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress)...)
	}
	return errs
}

func checkPort(p *networkingv1.NetworkPolicyPort, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.Protocol != nil {
		errs = valid.InOrder(*p.Protocol, path.Child("protocol"), corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
	}
	end := path.Child("endPort")
	switch {
	case p.Port == nil:
		if p.EndPort != nil {
			errs = append(errs, field.Invalid(end, *p.EndPort, "may not be specified when `port` is not specified"))
		}
	case p.Port.Type == intstr.Int:
		errs = append(errs, valid.Port(p.Port.IntVal, path.Child("port"))...)
		if p.EndPort != nil {
			if *p.EndPort < p.Port.IntVal {
				errs = append(errs, field.Invalid(end, *p.EndPort, "must be greater than or equal to `port`"))
			}
			errs = append(errs, valid.Port(*p.EndPort, end)...)
		}
	default:
		if p.EndPort != nil {
			errs = append(errs, field.Invalid(end, *p.EndPort, "may not be specified when `port` is non-numeric"))
		}
		errs = append(errs, valid.Messages(path.Child("port"), p.Port.StrVal, validation.IsValidPortName(p.Port.StrVal))...)
	}
	return errs
}

func checkPeer(p *networkingv1.NetworkPolicyPeer, known []string, path *field.Path) field.ErrorList {
	errs := valid.LabelSelector(p.PodSelector, path.Child("podSelector"))
	errs = append(errs, valid.LabelSelector(p.NamespaceSelector, path.Child("namespaceSelector"))...)
	if p.IPBlock != nil {
		errs = append(errs, checkBlock(p.IPBlock, known, path.Child("ipBlock"))...)
	}
	switch selects := p.PodSelector != nil || p.NamespaceSelector != nil; {
	case !selects && p.IPBlock == nil:
		errs = append(errs, field.Required(path, "must specify a peer"))
	case selects && p.IPBlock != nil:
		errs = append(errs, field.Forbidden(path, "may not specify both ipBlock and another peer"))
	}
	return errs
}

func checkBlock(b *networkingv1.IPBlock, known []string, path *field.Path) field.ErrorList {
	if b.CIDR == "" {
		return nil // told last
	}
	errs := valid.CIDR(b.CIDR, known, path.Child("cidr"))
	_, cidr, err := netutils.ParseCIDRSloppy(b.CIDR)
	if err != nil {
		return errs
	}
	bits, _ := cidr.Mask.Size()
	for i, s := range b.Except {
		at := path.Child("except").Index(i)
		errs = append(errs, valid.CIDR(s, known, at)...)
		_, except, err := netutils.ParseCIDRSloppy(s)
		if err != nil {
			continue
		}
		if n, _ := except.Mask.Size(); !cidr.Contains(except.IP) || bits >= n {
			errs = append(errs, field.Invalid(at, s, "must be a strict subset of `cidr`"))
		}
	}
	return errs
}
