package alloc

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// operation is one call of Assign. It belongs to its caller.
//
// ips and ports are what it has taken, to be given back if the write fails; dropIPs and dropPorts are what the service does
// not need any more, to be freed once the write is stored.
type operation struct {
	ctx   context.Context // of the one call
	s     *Services
	svc   *corev1.Service
	old   *corev1.Service // of type ExternalName, which holds nothing, on create
	owner types.UID
	dry   bool

	ips       []netip.Addr
	foreign   []netip.Addr // of these, those that turned out to be somebody else's
	ports     []int32
	dropIPs   []netip.Addr
	dropPorts []int32
}

func (o *operation) run() error {
	if err := o.families(); err != nil {
		return err
	}
	if err := o.clusterIPs(); err != nil {
		return err
	}
	if err := o.nodePorts(); err != nil {
		return err
	}
	return o.healthPort()
}

var specPath = field.NewPath("spec")

// families refuses addresses and families that do not hold or do not fit each other, before anything is allocated for them, and
// those that the cluster has no range for. Headless services without a selector may have any: their
// endpoints are somebody else's.
func (o *operation) families() error {
	spec := &o.svc.Spec
	if spec.Type == corev1.ServiceTypeExternalName || spec.ClusterIP == corev1.ClusterIPNone && len(spec.Selector) == 0 {
		return nil
	}
	errs := valid.ServiceAddresses(o.svc, o.old)
	if len(errs) > 0 {
		return invalid(o.svc, errs...)
	}
	if p := spec.IPFamilyPolicy; p != nil && *p == corev1.IPFamilyPolicySingleStack {
		const dual = "must be 'RequireDualStack' or 'PreferDualStack' when multiple %s are specified"
		switch path := specPath.Child("ipFamilyPolicy"); {
		case len(spec.ClusterIPs) > 1:
			return invalid(o.svc, field.Invalid(path, *p, fmt.Sprintf(dual, "cluster IPs")))
		case len(spec.IPFamilies) > 1:
			return invalid(o.svc, field.Invalid(path, *p, fmt.Sprintf(dual, "IP families")))
		}
	}
	if p := spec.IPFamilyPolicy; p != nil && *p == corev1.IPFamilyPolicyRequireDualStack && len(o.s.families()) < 2 {
		errs = append(errs, field.Invalid(specPath.Child("ipFamilyPolicy"), *p, "this cluster is not configured for dual-stack services"))
	}
	for i, f := range spec.IPFamilies {
		if !slices.Contains(o.s.families(), f) {
			errs = append(errs, field.Invalid(specPath.Child("ipFamilies").Index(i), f, "not configured on this cluster"))
		}
	}
	if len(errs) > 0 {
		return invalid(o.svc, errs...)
	}
	return nil
}

func (o *operation) clusterIPs() error {
	spec := &o.svc.Spec
	held := addressesOf(o.old)
	if spec.Type == corev1.ServiceTypeExternalName {
		o.dropIPs = held
		return nil
	}
	if spec.ClusterIP == corev1.ClusterIPNone || len(spec.ClusterIPs) > 0 && spec.ClusterIPs[0] == corev1.ClusterIPNone {
		return nil
	}
	ips := slices.Clone(spec.ClusterIPs)
	for i, f := range spec.IPFamilies {
		if i < len(ips) && ips[i] != "" {
			ip, err := netip.ParseAddr(ips[i])
			if err != nil || slices.Contains(held, ip.Unmap()) {
				continue // bad addresses are validation's to describe
			}
			if err := o.takeIP(f, ip.Unmap()); err != nil {
				return invalid(o.svc, field.Invalid(specPath.Child("clusterIPs"), ips, fmt.Sprintf("failed to allocate IP %v: %v", ips[i], err)))
			}
			continue
		}
		ip, err := o.nextIP(f)
		if err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate a serviceIP for Service %q: %w", o.svc.Name, err))
		}
		if i < len(ips) {
			ips[i] = ip.String()
		} else {
			ips = append(ips, ip.String())
		}
	}
	if len(ips) > 0 {
		spec.ClusterIPs, spec.ClusterIP = ips, ips[0]
	}
	for _, ip := range held {
		if !slices.Contains(addressesOf(o.svc), ip) {
			o.dropIPs = append(o.dropIPs, ip)
		}
	}
	return nil
}

func hasNodePorts(svc *corev1.Service) bool {
	return svc.Spec.Type == corev1.ServiceTypeNodePort || svc.Spec.Type == corev1.ServiceTypeLoadBalancer
}

// wantsNodePorts: a load balancer may do without them and still name some.
func wantsNodePorts(svc *corev1.Service) bool {
	a := svc.Spec.AllocateLoadBalancerNodePorts
	return svc.Spec.Type == corev1.ServiceTypeNodePort || svc.Spec.Type == corev1.ServiceTypeLoadBalancer && (a == nil || *a)
}

func needsHealthPort(svc *corev1.Service) bool {
	return svc.Spec.Type == corev1.ServiceTypeLoadBalancer && svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// nodePorts: ports of one number (DNS over UDP and TCP) share a node port when the client names none.
func (o *operation) nodePorts() error {
	var held []int32
	if hasNodePorts(o.old) {
		held = numbers(o.old)
	}
	if hasNodePorts(o.svc) {
		byPort := map[int32]int32{}
		if len(held) == 0 {
			for i := range o.svc.Spec.Ports {
				if p := &o.svc.Spec.Ports[i]; p.NodePort != 0 && byPort[p.Port] == 0 {
					byPort[p.Port] = p.NodePort
				}
			}
		}
		for i := range o.svc.Spec.Ports {
			if err := o.nodePort(i, held, byPort); err != nil {
				return err
			}
		}
	}
	for _, p := range held {
		if !hasNodePorts(o.svc) || !slices.Contains(numbers(o.svc), p) {
			o.dropPorts = append(o.dropPorts, p)
		}
	}
	return nil
}

// nodePort settles the i-th port. byPort has the node port that each port number of a new service uses; for a service that
// has node ports already every further one is its own (upstream does so).
func (o *operation) nodePort(i int, held []int32, byPort map[int32]int32) error {
	p := &o.svc.Spec.Ports[i]
	fresh := len(held) == 0
	switch {
	case p.NodePort == 0 && !wantsNodePorts(o.svc):
		return nil
	case p.NodePort == 0 && fresh && byPort[p.Port] != 0:
		p.NodePort = byPort[p.Port]
	case p.NodePort == 0:
		n, err := o.nextPort()
		if err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate a nodePort: %w", err))
		}
		p.NodePort = n
		byPort[p.Port] = n
		return nil
	}
	if slices.Contains(held, p.NodePort) || slices.Contains(o.ports, p.NodePort) && o.mayShare(i, fresh) {
		return nil
	}
	if err := o.takePort(p.NodePort); err != nil {
		return invalid(o.svc, field.Invalid(specPath.Child("ports").Index(i).Child("nodePort"), p.NodePort, err.Error()))
	}
	return nil
}

// mayShare tells whether the i-th port may have a node port that an earlier one has: of a new service those with the same
// port number, later those of another protocol.
func (o *operation) mayShare(i int, fresh bool) bool {
	p, same := o.svc.Spec.Ports[i], false
	for _, q := range o.svc.Spec.Ports[:i] {
		if q.NodePort != p.NodePort {
			continue
		}
		if q.Protocol == p.Protocol {
			return false
		}
		same = same || q.Port == p.Port
	}
	return same || !fresh
}

func numbers(svc *corev1.Service) []int32 {
	var out []int32
	for i := range svc.Spec.Ports {
		if n := svc.Spec.Ports[i].NodePort; n != 0 && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func (o *operation) healthPort() error {
	had, needs := needsHealthPort(o.old), needsHealthPort(o.svc)
	switch {
	case needs && !had && o.svc.Spec.HealthCheckNodePort != 0:
		n := o.svc.Spec.HealthCheckNodePort
		if err := o.takePort(n); err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate requested HealthCheck NodePort %v: %v", n, err))
		}
	case needs && !had:
		n, err := o.nextPort()
		if err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate a HealthCheck NodePort %v: %v", n, err))
		}
		o.svc.Spec.HealthCheckNodePort = n
	case had && !needs && o.old.Spec.HealthCheckNodePort != 0:
		o.dropPorts = append(o.dropPorts, o.old.Spec.HealthCheckNodePort)
	}
	return nil
}
