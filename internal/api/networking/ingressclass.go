package networking

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const longestController = 250

// IngressClasses is the kind IngressClass.
func IngressClasses() *api.Kind {
	return &api.Kind{
		Group: networkingv1.GroupName, Version: "v1", Kind: "IngressClass", Resource: "ingressclasses", Singular: "ingressclass",
		New:     func() api.Object { return &networkingv1.IngressClass{} },
		NewList: func() runtime.Object { return &networkingv1.IngressClassList{} },

		Default: api.On(func(c *networkingv1.IngressClass) {
			if p := c.Spec.Parameters; p != nil && p.Scope == nil {
				p.Scope = new(networkingv1.IngressClassParametersReferenceScopeCluster)
			}
		}),
		PrepareCreate: api.On(func(c *networkingv1.IngressClass) { c.Generation = 1 }),
		PrepareUpdate: api.OnChange(func(c, old *networkingv1.IngressClass) {
			c.Generation = old.Generation
			if !equality.Semantic.DeepEqual(&c.Spec, &old.Spec) {
				c.Generation++
			}
		}),
		Validate: api.Check(validateClass),
		ValidateUpdate: api.CheckChange(func(c, old *networkingv1.IngressClass) field.ErrorList {
			errs := valid.Immutable(c.Spec.Controller, old.Spec.Controller, field.NewPath("spec", "controller"))
			return append(errs, validateClass(c)...)
		}),
		Unconditional: true,
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("Controller", "string", "Controller that is responsible for handling this class"),
			api.Column("Parameters", "string", "A reference to a resource with additional parameters"),
			api.AgeColumn(),
		},
		Row: api.Cells(func(c *networkingv1.IngressClass) []any {
			name, parameters := c.Name, "<none>"
			if c.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true" {
				name += " (default)"
			}
			if p := c.Spec.Parameters; p != nil {
				parameters = p.Kind
				if p.APIGroup != nil {
					parameters += "." + *p.APIGroup
				}
				parameters += "/" + p.Name
			}
			return []any{name, c.Spec.Controller, parameters, c.CreationTimestamp}
		}),
	}
}

func validateClass(c *networkingv1.IngressClass) field.ErrorList {
	path := field.NewPath("spec", "controller")
	var errs field.ErrorList
	if len(c.Spec.Controller) > longestController {
		errs = append(errs, field.TooLong(path, "", longestController))
	}
	errs = append(errs, validation.IsDomainPrefixedPath(path, c.Spec.Controller)...)
	if p := c.Spec.Parameters; p != nil {
		errs = append(errs, checkParameters(p, field.NewPath("spec", "parameters"))...)
	}
	return errs
}

func checkParameters(p *networkingv1.IngressClassParametersReference, path *field.Path) field.ErrorList {
	errs := checkGroup(p.APIGroup, path.Child("apiGroup"))
	var last field.ErrorList // what upstream's generated rules say
	for _, n := range []struct{ name, value string }{{"kind", p.Kind}, {"name", p.Name}} {
		if n.value == "" {
			last = append(last, field.Required(path.Child(n.name), ""))
		} else {
			errs = append(errs, segment(n.value, path.Child(n.name))...)
		}
	}
	errs = append(errs, checkScope(p, path)...)
	return append(errs, last...)
}

func checkScope(p *networkingv1.IngressClassParametersReference, path *field.Path) field.ErrorList {
	if p.Scope == nil {
		return valid.Required(path.Child("scope"), "")
	}
	at := path.Child("namespace")
	switch *p.Scope {
	case networkingv1.IngressClassParametersReferenceScopeNamespace:
		if p.Namespace == nil {
			return valid.Required(at, "`parameters.scope` is set to 'Namespace'")
		}
		return valid.Messages(at, *p.Namespace, apivalidation.ValidateNamespaceName(*p.Namespace, false))
	case networkingv1.IngressClassParametersReferenceScopeCluster:
		if p.Namespace != nil {
			return valid.Forbidden(at, "`parameters.scope` is set to 'Cluster'")
		}
		return nil
	}
	return valid.OneOf(*p.Scope, path.Child("scope"), networkingv1.IngressClassParametersReferenceScopeCluster, networkingv1.IngressClassParametersReferenceScopeNamespace)
}
