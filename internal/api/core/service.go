package core

import (
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Services is the kind Service. Its cluster IPs and node ports are given out by a hook of the hub, between preparation and
// validation: validation expects them to be there.
func Services() *api.Kind {
	return &api.Kind{
		Version: "v1", Kind: "Service", Resource: "services", Singular: "service",
		ShortNames: []string{"svc"}, Categories: []string{"all"}, Namespaced: true, Prefix: "services/specs",
		New:     func() api.Object { return &corev1.Service{} },
		NewList: func() runtime.Object { return &corev1.ServiceList{} },

		Default:        api.On(defaultService),
		PrepareCreate:  api.On(prepareServiceCreate),
		PrepareUpdate:  api.OnChange(prepareServiceUpdate),
		Validate:       api.Check(validateServiceCreate),
		ValidateUpdate: api.CheckChange(validateServiceUpdate),
		ValidateName:   apivalidation.NameIsDNSLabel,
		Warnings:       func(obj, _ api.Object) []string { return serviceWarnings(obj.(*corev1.Service)) },
		CreateOnUpdate: true,
		Unconditional:  true,
		ReturnsDeleted: true,
		Subresources: []api.Subresource{
			{
				Name: "proxy", Verbs: proxyVerbs, GVK: schemaGVK{Version: "v1", Kind: "ServiceProxyOptions"},
				Connect: &api.Connect{Paths: true, Options: func() runtime.Object { return &corev1.ServiceProxyOptions{} }},
			},
			{
				Name: "status", Verbs: statusVerbs,
				PrepareUpdate:  api.OnChange(func(s, old *corev1.Service) { s.Spec = old.Spec }),
				ValidateUpdate: api.CheckChange(validateServiceStatus),
			},
		},
		Columns: serviceColumns(),
		Row:     api.Cells(serviceRow),
		Fields: fieldsOf(func(s *corev1.Service) fields.Set {
			return fields.Set{"spec.clusterIP": s.Spec.ClusterIP, "spec.type": string(s.Spec.Type)}
		}),
		FieldLabels: []string{"spec.clusterIP", "spec.type"},
	}
}

func defaultService(s *corev1.Service) {
	spec := &s.Spec
	setDefault(&spec.SessionAffinity, corev1.ServiceAffinityNone)
	switch spec.SessionAffinity {
	case corev1.ServiceAffinityNone:
		spec.SessionAffinityConfig = nil
	case corev1.ServiceAffinityClientIP:
		if c := spec.SessionAffinityConfig; c == nil || c.ClientIP == nil || c.ClientIP.TimeoutSeconds == nil {
			timeout := corev1.DefaultClientIPServiceAffinitySeconds
			spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &timeout}}
		}
	}
	setDefault(&spec.Type, corev1.ServiceTypeClusterIP)
	for i := range spec.Ports {
		p := &spec.Ports[i]
		setDefault(&p.Protocol, corev1.ProtocolTCP)
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	if reachableFromOutside(s) {
		setDefault(&spec.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	}
	switch spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		setDefaultPtr(&spec.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	}
	if spec.Type == corev1.ServiceTypeLoadBalancer {
		setDefaultPtr(&spec.AllocateLoadBalancerNodePorts, true)
		for i := range s.Status.LoadBalancer.Ingress {
			if in := &s.Status.LoadBalancer.Ingress[i]; in.IP != "" {
				setDefaultPtr(&in.IPMode, corev1.LoadBalancerIPModeVIP)
			}
		}
	}
}

// reachableFromOutside reports whether anything but pods may reach the service, so that an external traffic policy says
// something.
func reachableFromOutside(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer || s.Spec.Type == corev1.ServiceTypeNodePort ||
		s.Spec.Type == corev1.ServiceTypeClusterIP && len(s.Spec.ExternalIPs) > 0
}

// isHeadless reports whether the service asks for no cluster IP, whether its type can do without or not.
func isHeadless(s *corev1.Service) bool {
	return len(s.Spec.ClusterIPs) == 1 && s.Spec.ClusterIPs[0] == corev1.ClusterIPNone
}

func serviceColumns() []metav1.TableColumnDefinition {
	doc := corev1.ServiceSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Type", "string", doc["type"]),
		api.Column("Cluster-IP", "string", doc["clusterIP"]),
		api.Column("External-IP", "string", doc["externalIPs"]),
		api.Column("Port(s)", "string", doc["ports"]),
		api.AgeColumn(),
		api.WideColumn("Selector", "string", doc["selector"]),
	}
}

func serviceRow(s *corev1.Service) []any {
	ip := none
	if len(s.Spec.ClusterIPs) > 0 {
		ip = s.Spec.ClusterIPs[0]
	}
	var ports []string
	for _, p := range s.Spec.Ports {
		if p.NodePort > 0 {
			ports = append(ports, fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol))
		} else {
			ports = append(ports, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
		}
	}
	return []any{
		s.Name, string(s.Spec.Type), ip, externalIP(s), orNone(strings.Join(ports, ",")), s.CreationTimestamp,
		labels.FormatLabels(s.Spec.Selector),
	}
}

func externalIP(s *corev1.Service) string {
	switch s.Spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort:
		return orNone(strings.Join(s.Spec.ExternalIPs, ","))
	case corev1.ServiceTypeLoadBalancer:
		var ips []string
		for _, in := range s.Status.LoadBalancer.Ingress {
			if in.IP != "" {
				ips = append(ips, in.IP)
			} else if in.Hostname != "" {
				ips = append(ips, in.Hostname)
			}
		}
		slices.Sort(ips)
		if ips = append(slices.Compact(ips), s.Spec.ExternalIPs...); len(ips) == 0 {
			return "<pending>"
		}
		return strings.Join(ips, ",")
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	}
	return unknown
}
