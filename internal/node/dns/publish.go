package dns

import (
	"context"
	"fmt"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// publish keeps this node's EndpointSlice of kube-dns as it should be, until ctx ends.
func (s *Server) publish(ctx context.Context) {
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	name := sliceName(s.cfg.NodeName)
	watch := func(e *discoveryv1.EndpointSlice) {
		if e.Name == name && e.Namespace == metav1.NamespaceSystem {
			poke()
		}
	}
	s.cfg.Slices.Handle(cache.Handler[*discoveryv1.EndpointSlice]{
		Update: func(_, e *discoveryv1.EndpointSlice) { watch(e) }, Delete: watch,
	})
	s.cfg.Nodes.Handle(cache.Handler[*corev1.Node]{
		Add: func(n *corev1.Node) {
			if n.Name == s.cfg.NodeName {
				poke()
			}
		},
	})
	for wait := time.Second; ; {
		err := s.publishOnce(ctx)
		if err == nil {
			wait = time.Second
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			continue
		}
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("cannot publish the endpoint of kube-dns", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(wait):
		}
		wait = min(2*wait, 30*time.Second)
	}
}

func sliceName(node string) string { return "kube-dns-" + node }

func (s *Server) publishOnce(ctx context.Context) error {
	node, ok := s.cfg.Nodes.Get("", s.cfg.NodeName)
	if !ok {
		return nil // it comes as an Add
	}
	want := s.slice(node)
	have, ok := s.cfg.Slices.Get(want.Namespace, want.Name)
	if !ok {
		_, err := client.Create(ctx, s.cfg.Door, client.EndpointSlices, want)
		if err == nil || !apierrors.IsAlreadyExists(err) {
			return wrap("create", err)
		}
		if have, err = client.Get[*discoveryv1.EndpointSlice](ctx, s.cfg.Door, client.EndpointSlices, want.Namespace, want.Name); err != nil {
			return wrap("get", err)
		}
	}
	if equality.Semantic.DeepEqual(have.Endpoints, want.Endpoints) && equality.Semantic.DeepEqual(have.Ports, want.Ports) &&
		equality.Semantic.DeepEqual(have.Labels, want.Labels) && equality.Semantic.DeepEqual(have.OwnerReferences, want.OwnerReferences) {
		return nil
	}
	want.ResourceVersion = have.ResourceVersion
	_, err := client.Update(ctx, s.cfg.Door, client.EndpointSlices, want)
	return wrap("update", err)
}

func wrap(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s endpoint slice: %w", verb, err)
}

// slice says that this node's pods find DNS at its gateway address. It belongs to the node and goes with it.
func (s *Server) slice(node *corev1.Node) *discoveryv1.EndpointSlice {
	udp, tcp, port, ready := corev1.ProtocolUDP, corev1.ProtocolTCP, int32(53), true
	no := false
	nameU, nameT, nodeName := "dns", "dns-tcp", node.Name
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceSystem, Name: sliceName(node.Name),
			Labels:          map[string]string{discoveryv1.LabelServiceName: "kube-dns", discoveryv1.LabelManagedBy: "sampan", "k8s-app": "kube-dns"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID, BlockOwnerDeletion: &no, Controller: &no}},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{s.cfg.Gateway().String()}, NodeName: &nodeName,
			Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready, Terminating: &no},
		}},
		Ports: []discoveryv1.EndpointPort{{Name: &nameU, Protocol: &udp, Port: &port}, {Name: &nameT, Protocol: &tcp, Port: &port}},
	}
}
