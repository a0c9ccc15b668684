package networking

import (
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var statusVerbs = []string{"get", "patch", "update"}

// classAnnotation is how an ingress named its class before there were classes.
const classAnnotation = "kubernetes.io/ingress.class"

// Ingresses is the kind Ingress.
func Ingresses() *api.Kind {
	return &api.Kind{
		Group: networkingv1.GroupName, Version: "v1", Kind: "Ingress", Resource: "ingresses", Singular: "ingress",
		ShortNames: []string{"ing"}, Namespaced: true, Prefix: "ingress",
		New:     func() api.Object { return &networkingv1.Ingress{} },
		NewList: func() runtime.Object { return &networkingv1.IngressList{} },

		PrepareCreate: api.On(func(i *networkingv1.Ingress) {
			i.Status = networkingv1.IngressStatus{}
			i.Generation = 1
		}),
		PrepareUpdate: api.OnChange(func(i, old *networkingv1.Ingress) {
			i.Status = old.Status
			i.Generation = old.Generation
			if !equality.Semantic.DeepEqual(&i.Spec, &old.Spec) {
				i.Generation++
			}
		}),
		Validate:       api.Check(validateIngress),
		ValidateUpdate: api.CheckChange(validateIngressUpdate),
		Warnings: func(obj, old api.Object) []string {
			i := obj.(*networkingv1.Ingress)
			if _, ok := i.Annotations[classAnnotation]; !ok || old != nil || i.Spec.IngressClassName != nil {
				return nil
			}
			return []string{fmt.Sprintf("annotation %q is deprecated, please use 'spec.ingressClassName' instead", classAnnotation)}
		},
		Unconditional: true,
		Subresources: []api.Subresource{{
			Name: "status", Verbs: statusVerbs,
			PrepareUpdate:  api.OnChange(func(i, old *networkingv1.Ingress) { i.Spec = old.Spec }),
			ValidateUpdate: api.CheckChange(validateIngressStatus),
			Warnings: func(obj, _ api.Object) (out []string) {
				for n, a := range obj.(*networkingv1.Ingress).Status.LoadBalancer.Ingress {
					if a.IP != "" {
						out = append(out, validation.GetWarningsForIP(field.NewPath("status", "loadBalancer", "ingress").Index(n), a.IP)...)
					}
				}
				return out
			},
		}},
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("Class", "string", "The name of the IngressClass resource that should be used for additional configuration"),
			api.Column("Hosts", "string", "Hosts that incoming requests are matched against before the ingress rule"),
			api.Column("Address", "string", "Address is a list containing ingress points for the load-balancer"),
			api.Column("Ports", "string", "Ports of TLS configurations that open"),
			api.AgeColumn(),
		},
		Row: api.Cells(func(i *networkingv1.Ingress) []any {
			class, ports := "<none>", "80"
			if i.Spec.IngressClassName != nil {
				class = *i.Spec.IngressClassName
			}
			if len(i.Spec.TLS) > 0 {
				ports = "80, 443"
			}
			return []any{i.Name, class, hostsCell(i.Spec.Rules), addressCell(i.Status.LoadBalancer.Ingress), ports, i.CreationTimestamp}
		}),
	}
}

// hostsCell names three hosts at most.
func hostsCell(rules []networkingv1.IngressRule) string {
	const most = 3
	var list []string
	more := false
	for _, r := range rules {
		more = more || len(list) == most
		if !more && r.Host != "" {
			list = append(list, r.Host)
		}
	}
	switch {
	case len(list) == 0:
		return "*"
	case more:
		return fmt.Sprintf("%s + %d more...", strings.Join(list, ","), len(rules)-most)
	}
	return strings.Join(list, ",")
}

// addressCell lists where the ingress is reached. Upstream cuts it to sixteen characters where -o wide is not asked for, which its
// server is never told.
func addressCell(list []networkingv1.IngressLoadBalancerIngress) string {
	var out []string
	for _, a := range list {
		at := a.IP
		if at == "" {
			at = a.Hostname
		}
		if at != "" && !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}
