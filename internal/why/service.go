package why

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// ServiceFacts are what a Service's answer is made of.
type ServiceFacts struct {
	Service *corev1.Service
	Slices  []*discoveryv1.EndpointSlice // of it
	Pods    []*corev1.Pod                // of its namespace
}

// Service answers for a Service.
func Service(f ServiceFacts) *Answer {
	s := f.Service
	serve := 0
	for _, slice := range f.Slices {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				serve++
			}
		}
	}
	a := &Answer{Kind: "service", Namespace: s.Namespace, Name: s.Name, State: fmt.Sprintf("%d ready endpoints", serve)}
	if s.DeletionTimestamp != nil {
		a.State = "Terminating"
		a.held("service", s.Finalizers)
		return a
	}
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer && len(s.Status.LoadBalancer.Ingress) == 0 {
		a.find(Finding{What: "it has no load balancer yet", Who: "service-lb-controller, or the cloud's controller manager", Mend: "kubectl describe service " + s.Name + in(s.Namespace)})
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		a.State = "an alias of " + s.Spec.ExternalName
	} else if serve == 0 {
		f.empty(a)
	}
	a.Fine = len(a.Findings) == 0
	return a
}

// empty says why nobody serves.
func (f ServiceFacts) empty(a *Answer) {
	s := f.Service
	if len(s.Spec.Selector) == 0 {
		a.find(Finding{What: "it has no selector, and nobody has written endpoints for it", Mend: "set spec.selector, or create an EndpointSlice labelled kubernetes.io/service-name=" + s.Name})
		return
	}
	selector := labels.SelectorFromSet(s.Spec.Selector)
	var chosen []*corev1.Pod
	for _, p := range f.Pods {
		if selector.Matches(labels.Set(p.Labels)) {
			chosen = append(chosen, p)
		}
	}
	if len(chosen) == 0 {
		a.find(Finding{What: fmt.Sprintf("none of %d pods of the namespace has the labels %s", len(f.Pods), selector), Mend: f.nearest()})
		return
	}
	for _, p := range chosen {
		a.port(s, p)
		if !slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}) {
			a.find(Finding{What: "its pod " + p.Name + " is not ready", Mend: "sampan why pod/" + p.Name + in(p.Namespace)})
		}
	}
	if len(a.Findings) == 0 {
		a.find(Finding{What: fmt.Sprintf("%d ready pods are not among its endpoints yet", len(chosen)), Who: "endpointslice-controller"})
	}
}

// port says which named ports a pod does not have.
func (a *Answer) port(s *corev1.Service, p *corev1.Pod) {
	for _, want := range s.Spec.Ports {
		if want.TargetPort.Type != intstr.String {
			continue
		}
		var names []string
		for _, c := range p.Spec.Containers {
			for _, have := range c.Ports {
				names = append(names, have.Name)
			}
		}
		if !slices.Contains(names, want.TargetPort.StrVal) {
			a.find(Finding{What: fmt.Sprintf("its target port %s is none of those that pod %s names (%s)", want.TargetPort.StrVal, p.Name, strings.Join(names, ", ")), Mend: "name the port in the pod, or give the number in spec.ports[].targetPort"})
		}
	}
}

// nearest names the pod that lacks the fewest of the wanted labels.
func (f ServiceFacts) nearest() string {
	best, least := "", len(f.Service.Spec.Selector)
	for _, p := range f.Pods {
		var lack []string
		for k, v := range f.Service.Spec.Selector {
			if p.Labels[k] != v {
				lack = append(lack, fmt.Sprintf("%s=%s (it has %q)", k, v, p.Labels[k]))
			}
		}
		if slices.Sort(lack); len(lack) < least || len(lack) == least && best == "" && len(lack) == 1 {
			least, best = len(lack), "pod "+p.Name+" lacks "+strings.Join(lack, ", ")
		}
	}
	if best == "" {
		return "create pods with these labels, or correct spec.selector"
	}
	return "correct spec.selector or the labels: " + best
}
