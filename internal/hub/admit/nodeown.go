package admit

import (
	"context"
	"net/netip"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// dnsSlice holds a node to the one EndpointSlice that says where its own DNS answers (ours: upstream's nodes write none). It
// must lead nobody elsewhere: only the DNS service, and only addresses in the node's own range of pods, which the service's
// internalTrafficPolicy keeps other nodes' pods from using.
func (n *nodeRestriction) dnsSlice(ctx context.Context, node string, a *Attributes) error {
	name := a.Name
	if o, ok := a.Object.(metav1.Object); ok && a.Operation == Create {
		name = o.GetName()
	}
	if a.Namespace != metav1.NamespaceSystem || name != "kube-dns-"+node {
		return forbidden(a, "node %q can only access its own EndpointSlice of the DNS service", node)
	}
	s, ok := a.Object.(*discoveryv1.EndpointSlice)
	if !ok {
		return nil
	}
	if s.Labels[discoveryv1.LabelServiceName] != "kube-dns" {
		return forbidden(a, "node %q can only publish endpoints of the DNS service", node)
	}
	self, err := find[*corev1.Node](ctx, n.look, client.Nodes, "", node)
	if err != nil {
		return forbidden(a, "error looking up node %s: %v", node, err)
	}
	for _, e := range s.Endpoints {
		if e.NodeName == nil || *e.NodeName != node {
			return forbidden(a, "node %q can only publish endpoints with nodeName set to itself", node)
		}
		for _, at := range e.Addresses {
			if !inRange(at, self.Spec.PodCIDRs) {
				return forbidden(a, "node %q can only publish endpoints in its own pod range", node)
			}
		}
	}
	return nil
}

func inRange(address string, ranges []string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && slices.ContainsFunc(ranges, func(r string) bool {
		p, err := netip.ParsePrefix(r)
		return err == nil && p.Contains(a)
	})
}

// proxyToken lets a node have tokens for its proxy (ours: upstream's proxy is a pod, whose tokens the node has anyway). They are
// bound to the node, for the API server, and short.
func (n *nodeRestriction) proxyToken(ctx context.Context, node string, a *Attributes, tr *authenticationv1.TokenRequest) error {
	ref := tr.Spec.BoundObjectRef
	if ref.APIVersion != "v1" || ref.Name != node || ref.UID == "" {
		return forbidden(a, "node %q can only request tokens of its proxy that are bound to its own Node, with a uid", node)
	}
	if len(tr.Spec.Audiences) > 0 {
		return forbidden(a, "node %q can only request tokens of its proxy for the API server", node)
	}
	if tr.Spec.ExpirationSeconds != nil && *tr.Spec.ExpirationSeconds > 60*60 {
		return forbidden(a, "node %q can only request tokens of its proxy for an hour", node)
	}
	self, err := find[*corev1.Node](ctx, n.look, client.Nodes, "", node)
	if apierrors.IsNotFound(err) {
		return err
	}
	if err != nil {
		return forbidden(a, "error looking up node %s: %v", node, err)
	}
	if ref.UID != self.UID {
		return forbidden(a, "the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID)
	}
	return nil
}

// notTheNodes keeps from a node what others go by when they decide what is proved to be its own (ours, upstream lets it write
// both): an administrator's grant of names, and its range of pods' addresses.
func notTheNodes(a *Attributes, node string, obj, old *corev1.Node) error {
	if obj.Annotations[api.AnnotationServingNames] != old.Annotations[api.AnnotationServingNames] {
		return forbidden(a, "node %q is not allowed to modify the annotation %s", node, api.AnnotationServingNames)
	}
	if obj.Spec.PodCIDR != old.Spec.PodCIDR || !slices.Equal(obj.Spec.PodCIDRs, old.Spec.PodCIDRs) {
		return forbidden(a, "node %q is not allowed to modify its pod ranges", node)
	}
	return nil
}
