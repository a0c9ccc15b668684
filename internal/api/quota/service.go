package quota

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func ofServices(name corev1.ResourceName) bool {
	switch name {
	case "count/services", corev1.ResourceServices, corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers:
		return true
	}
	return false
}

// serviceUsage counts the node ports that a Service is to have: none has been given out yet when it is asked for.
func serviceUsage(obj runtime.Object) corev1.ResourceList {
	out := corev1.ResourceList{
		"count/services": amount(1), corev1.ResourceServices: amount(1), corev1.ResourceServicesLoadBalancers: amount(0), corev1.ResourceServicesNodePorts: amount(0),
	}
	svc, ok := obj.(*corev1.Service)
	if !ok {
		return out
	}
	all := int64(len(svc.Spec.Ports))
	switch svc.Spec.Type {
	case corev1.ServiceTypeNodePort:
		out[corev1.ResourceServicesNodePorts] = amount(all)
	case corev1.ServiceTypeLoadBalancer:
		out[corev1.ResourceServicesLoadBalancers] = amount(1)
		if given := svc.Spec.AllocateLoadBalancerNodePorts; given != nil && !*given {
			all = 0
			for i := range svc.Spec.Ports {
				if svc.Spec.Ports[i].NodePort != 0 {
					all++
				}
			}
		}
		out[corev1.ResourceServicesNodePorts] = amount(all)
	}
	return out
}
