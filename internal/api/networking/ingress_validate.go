package networking

import (
	"fmt"
	"strings"

	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

const notAnIP = "must be a DNS name, not an IP address"

// ingressCheck says what of an ingress is let pass because the one before had it, too.
type ingressCheck struct {
	secrets   bool // names that no Secret can have
	wildcards bool // invalid rules for hosts with a wildcard
}

func validateIngress(i *networkingv1.Ingress) field.ErrorList {
	errs := ingressCheck{}.spec(&i.Spec, field.NewPath("spec"))
	if class, ok := i.Annotations[classAnnotation]; ok && i.Spec.IngressClassName != nil && class != *i.Spec.IngressClassName {
		errs = append(errs, field.Invalid(field.NewPath("annotations").Child(classAnnotation), class, "must match `ingressClassName` when both are specified"))
	}
	return errs
}

func validateIngressUpdate(i, old *networkingv1.Ingress) field.ErrorList {
	var c ingressCheck
	for _, t := range old.Spec.TLS {
		c.secrets = c.secrets || len(secretName(t.SecretName)) > 0
	}
	for n := range old.Spec.Rules {
		if r := &old.Spec.Rules[n]; strings.Contains(r.Host, "*") {
			c.wildcards = c.wildcards || len(c.rule(r, nil)) > 0
		}
	}
	return c.spec(&i.Spec, field.NewPath("spec"))
}

func secretName(name string) []string {
	if name == "" {
		return nil
	}
	return apivalidation.NameIsDNSSubdomain(name, false)
}

func (c ingressCheck) spec(s *networkingv1.IngressSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(s.Rules) == 0 && s.DefaultBackend == nil {
		errs = append(errs, field.Invalid(path, valid.Internal(s.Rules), "either `defaultBackend` or `rules` must be specified"))
	}
	if s.DefaultBackend != nil {
		errs = append(errs, checkBackend(s.DefaultBackend, path.Child("defaultBackend"))...)
	}
	for i := range s.Rules {
		r, at := &s.Rules[i], path.Child("rules").Index(i)
		if r.Host != "" && netutils.ParseIPSloppy(r.Host) != nil {
			errs = append(errs, field.Invalid(at.Child("host"), r.Host, notAnIP))
		}
		if r.Host != "" {
			errs = append(errs, checkHost(r.Host, at.Child("host"))...)
		}
		if !strings.Contains(r.Host, "*") || !c.wildcards {
			errs = append(errs, c.rule(r, at)...)
		}
	}
	for i, t := range s.TLS {
		at := path.Child("tls").Index(i)
		for j, h := range t.Hosts {
			errs = append(errs, checkHost(h, at.Child("hosts").Index(j))...)
		}
		if !c.secrets {
			errs = append(errs, valid.Messages(at.Child("secretName"), t.SecretName, secretName(t.SecretName))...)
		}
	}
	if n := s.IngressClassName; n != nil {
		errs = append(errs, valid.Messages(path.Child("ingressClassName"), *n, apivalidation.NameIsDNSSubdomain(*n, false))...)
	}
	return errs
}

func checkHost(host string, path *field.Path) field.ErrorList {
	if strings.Contains(host, "*") {
		return valid.Messages(path, host, validation.IsWildcardDNS1123Subdomain(host))
	}
	return valid.Messages(path, host, validation.IsDNS1123Subdomain(host))
}

func (c ingressCheck) rule(r *networkingv1.IngressRule, path *field.Path) field.ErrorList {
	if r.HTTP == nil {
		return nil
	}
	at := path.Child("http", "paths")
	var errs field.ErrorList
	if len(r.HTTP.Paths) == 0 {
		errs = append(errs, field.Required(at, ""))
	}
	for i := range r.HTTP.Paths {
		errs = append(errs, checkPath(&r.HTTP.Paths[i], at.Index(i))...)
	}
	return errs
}

func checkPath(p *networkingv1.HTTPIngressPath, path *field.Path) field.ErrorList {
	if p.PathType == nil {
		return valid.Required(path.Child("pathType"), "pathType must be specified")
	}
	var errs field.ErrorList
	at := path.Child("path")
	switch *p.PathType {
	case networkingv1.PathTypeExact, networkingv1.PathTypePrefix:
		if !strings.HasPrefix(p.Path, "/") {
			errs = append(errs, field.Invalid(at, p.Path, "must be an absolute path"))
		}
		for _, part := range []string{"//", "/./", "/../", "%2f", "%2F"} {
			if strings.Contains(p.Path, part) {
				errs = append(errs, field.Invalid(at, p.Path, fmt.Sprintf("must not contain '%s'", part)))
			}
		}
		for _, end := range []string{"/..", "/."} {
			if strings.HasSuffix(p.Path, end) {
				errs = append(errs, field.Invalid(at, p.Path, fmt.Sprintf("cannot end with '%s'", end)))
			}
		}
	case networkingv1.PathTypeImplementationSpecific:
		if p.Path != "" && !strings.HasPrefix(p.Path, "/") {
			errs = append(errs, field.Invalid(at, p.Path, "must be an absolute path"))
		}
	default:
		errs = valid.OneOf(*p.PathType, path.Child("pathType"), networkingv1.PathTypeExact, networkingv1.PathTypeImplementationSpecific, networkingv1.PathTypePrefix)
	}
	return append(errs, checkBackend(&p.Backend, path.Child("backend"))...)
}

func checkBackend(b *networkingv1.IngressBackend, path *field.Path) field.ErrorList {
	switch {
	case b.Resource != nil && b.Service != nil:
		return valid.Invalid(path, "", "cannot set both resource and service backends")
	case b.Resource != nil:
		return checkReference(b.Resource, path.Child("resource"))
	case b.Service == nil:
		return valid.Invalid(path, "", "resource or service backend is required")
	}
	at := path.Child("service")
	var errs field.ErrorList
	if b.Service.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	} else {
		errs = append(errs, valid.Messages(at.Child("name"), b.Service.Name, apivalidation.NameIsDNSLabel(b.Service.Name, false))...)
	}
	name, number := b.Service.Port.Name, b.Service.Port.Number
	switch {
	case name != "" && number != 0:
		errs = append(errs, field.Invalid(path, "", "cannot set both port name & port number"))
	case name != "":
		errs = append(errs, valid.Messages(at.Child("port", "name"), name, validation.IsValidPortName(name))...)
	case number != 0:
		errs = append(errs, valid.Port(number, at.Child("port", "number"))...)
	default:
		errs = append(errs, field.Required(path, "port name or number is required"))
	}
	return errs
}

func checkReference(r *corev1.TypedLocalObjectReference, path *field.Path) field.ErrorList {
	errs := checkGroup(r.APIGroup, path.Child("apiGroup"))
	errs = append(errs, requiredSegment(r.Kind, path.Child("kind"))...)
	return append(errs, requiredSegment(r.Name, path.Child("name"))...)
}

func checkGroup(group *string, path *field.Path) field.ErrorList {
	if group == nil {
		return nil
	}
	return valid.Messages(path, *group, validation.IsDNS1123Subdomain(*group))
}

// requiredSegment checks a name that stands in paths.
func requiredSegment(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return valid.Required(path, "")
	}
	return segment(name, path)
}

func segment(name string, path *field.Path) field.ErrorList {
	return valid.Messages(path, name, content.IsPathSegmentName(name))
}

func validateIngressStatus(i, old *networkingv1.Ingress) field.ErrorList {
	var had []string
	for _, a := range old.Status.LoadBalancer.Ingress {
		if a.IP != "" {
			had = append(had, a.IP)
		}
	}
	var errs field.ErrorList
	for n, a := range i.Status.LoadBalancer.Ingress {
		path := field.NewPath("status", "loadBalancer", "ingress").Index(n)
		if a.IP != "" {
			errs = append(errs, valid.IP(a.IP, had, path.Child("ip"))...)
		}
		if a.Hostname == "" {
			continue
		}
		errs = append(errs, valid.Messages(path.Child("hostname"), a.Hostname, validation.IsDNS1123Subdomain(a.Hostname))...)
		if netutils.ParseIPSloppy(a.Hostname) != nil {
			errs = append(errs, field.Invalid(path.Child("hostname"), a.Hostname, notAnIP))
		}
	}
	return errs
}
