package apiregistration

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation/path"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// validName is what a name may be whatever the spec says; [validate] knows the one name that it has to be.
func validName(name string, _ bool) []string { return path.IsValidPathSegmentName(name) }

func validate(s *service) field.ErrorList {
	errs := validateNamed(s)
	spec := field.NewPath("spec")
	if s.Spec.Group == "" && s.Spec.Version != "v1" {
		errs = append(errs, field.Required(spec.Child("group"), "only v1 may have an empty group and it better be legacy kube"))
	}
	if s.Spec.Group != "" {
		for _, msg := range utilvalidation.IsDNS1123Subdomain(s.Spec.Group) {
			errs = append(errs, field.Invalid(spec.Child("group"), s.Spec.Group, msg))
		}
	}
	for _, msg := range utilvalidation.IsDNS1035Label(s.Spec.Version) {
		errs = append(errs, field.Invalid(spec.Child("version"), s.Spec.Version, msg))
	}
	if p := s.Spec.GroupPriorityMinimum; p <= 0 || p > 20000 {
		errs = append(errs, field.Invalid(spec.Child("groupPriorityMinimum"), p, "must be positive and less than 20000"))
	}
	if p := s.Spec.VersionPriority; p <= 0 || p > 1000 {
		errs = append(errs, field.Invalid(spec.Child("versionPriority"), p, "must be positive and less than 1000"))
	}
	if s.Spec.Service == nil {
		return append(errs, validateLocal(s, spec)...)
	}
	return append(errs, validateRemote(s, spec)...)
}

// validateNamed: the name, and the prefix of a generated one, is the version and the group.
func validateNamed(s *service) field.ErrorList {
	var errs field.ErrorList
	want := s.Spec.Version + "." + s.Spec.Group
	for _, n := range []struct{ field, name string }{{"generateName", s.GenerateName}, {"name", s.Name}} {
		if n.name != "" && n.name != want && len(validName(n.name, false)) == 0 {
			errs = append(errs, field.Invalid(field.NewPath("metadata", n.field), n.name, fmt.Sprintf("must be `spec.version+\".\"+spec.group`: %q", want)))
		}
	}
	return errs
}

func validateLocal(s *service, spec *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(s.Spec.CABundle) > 0 {
		errs = append(errs, field.Invalid(spec.Child("caBundle"), fmt.Sprintf("%d bytes", len(s.Spec.CABundle)), "local APIServices may not have a caBundle"))
	}
	if s.Spec.InsecureSkipTLSVerify {
		errs = append(errs, field.Invalid(spec.Child("insecureSkipTLSVerify"), true, "local APIServices may not have insecureSkipTLSVerify"))
	}
	return errs
}

func validateRemote(s *service, spec *field.Path) field.ErrorList {
	var errs field.ErrorList
	by := spec.Child("service")
	if s.Spec.Service.Namespace == "" {
		errs = append(errs, field.Required(by.Child("namespace"), ""))
	}
	if s.Spec.Service.Name == "" {
		errs = append(errs, field.Required(by.Child("name"), ""))
	}
	if port := Port(s.Spec.Service); len(utilvalidation.IsValidPortNum(int(port))) > 0 {
		errs = append(errs, field.Invalid(by.Child("port"), port, "port is not valid: "+strings.Join(utilvalidation.IsValidPortNum(int(port)), ", ")))
	}
	if s.Spec.InsecureSkipTLSVerify && len(s.Spec.CABundle) > 0 {
		errs = append(errs, field.Invalid(spec.Child("insecureSkipTLSVerify"), true, "may not be true if caBundle is present"))
	}
	return errs
}

// Port is the port of a reference to a service, whether defaults have been filled in or not.
func Port(r *apiregistrationv1.ServiceReference) int32 {
	if r.Port == nil {
		return 443
	}
	return *r.Port
}

func validateUpdate(s, _ *service) field.ErrorList { return validate(s) }

func validateStatus(s, _ *service) field.ErrorList {
	var errs field.ErrorList
	known := []apiregistrationv1.ConditionStatus{apiregistrationv1.ConditionTrue, apiregistrationv1.ConditionFalse, apiregistrationv1.ConditionUnknown}
	for i, c := range s.Status.Conditions {
		if !slices.Contains(known, c.Status) {
			errs = append(errs, field.NotSupported(field.NewPath("status", "conditions").Index(i).Child("status"), c.Status, known))
		}
	}
	return errs
}
