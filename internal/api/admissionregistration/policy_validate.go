package admissionregistration

import (
	"fmt"
	"strings"

	"sampan.dev/internal/api/expression"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds of audit annotations: how many a policy may have, and how many bytes an expression that makes one.
const (
	maxAnnotations = 20
	maxAnnotation  = 5 * 1024
)

var (
	reasons    = []string{"Forbidden", "Invalid", "RequestEntityTooLarge"}
	actions    = []string{"Audit", "Deny", "Warn"}
	patchTypes = []string{"ApplyConfiguration", "JSONPatch"}
	notFound   = []string{string(admissionv1.DenyAction), string(admissionv1.AllowAction)}
)

// policy is what both kinds of policies say of what they are about.
type policy struct {
	failure    *admissionv1.FailurePolicyType
	params     *admissionv1.ParamKind
	match      *admissionv1.MatchResources
	conditions []admissionv1.MatchCondition
}

// checkPolicy validates what both kinds have, but for variables.
func checkPolicy(p policy, mutates, sameConditions bool, conditions map[string]bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.failure == nil {
		errs = append(errs, field.Required(path.Child("failurePolicy"), ""))
	}
	errs = append(errs, oneOf(p.failure, failurePolicies, path.Child("failurePolicy"))...)
	if p.params != nil {
		errs = append(errs, checkParamKind(p.params, path.Child("paramKind"))...)
	}
	at := path.Child("matchConstraints")
	if p.match == nil {
		errs = append(errs, field.Required(at, ""))
	} else {
		errs = append(errs, checkMatch(p.match, at)...)
		if len(p.match.ResourceRules) == 0 {
			errs = append(errs, field.Required(at.Child("resourceRules"), ""))
		}
		if mutates {
			errs = append(errs, checkMutable(p.match, at)...)
		}
	}
	if !sameConditions {
		errs = append(errs, checkConditions(p.conditions, p.params != nil, conditions, path.Child("matchConditions"))...)
	}
	return errs
}

func checkParamKind(p *admissionv1.ParamKind, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := path.Child("apiVersion")
	if gv, err := schema.ParseGroupVersion(p.APIVersion); p.APIVersion == "" {
		errs = append(errs, field.Required(at, ""))
	} else if err != nil {
		errs = append(errs, field.Invalid(at, p.APIVersion, err.Error()))
	} else {
		if gv.Group != "" {
			errs = append(errs, joined(utilvalidation.IsDNS1123Subdomain(gv.Group), gv.Group, "", at)...)
		}
		if gv.Version == "" {
			errs = append(errs, field.Invalid(at, p.APIVersion, "version must be specified"))
		} else {
			errs = append(errs, joined(utilvalidation.IsDNS1035Label(gv.Version), gv.Version, "", at)...)
		}
	}
	if p.Kind == "" {
		return append(errs, field.Required(path.Child("kind"), ""))
	}
	return append(errs, joined(utilvalidation.IsDNS1035Label(strings.ToLower(p.Kind)), p.Kind, "may have mixed case, but should otherwise match: ", path.Child("kind"))...)
}

// joined makes one error of what a rule found.
func joined(msgs []string, value, before string, path *field.Path) field.ErrorList {
	if len(msgs) == 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(path, value, before+strings.Join(msgs, ","))}
}

func checkValidatingPolicy(p *validatingPolicy, sameConditions bool, k known) field.ErrorList {
	spec, path := &p.Spec, field.NewPath("spec")
	errs := checkPolicy(policyOfValidating(spec), false, sameConditions, k.conditions, path)
	s := newScope(len(spec.Variables) > 0, spec.ParamKind != nil, k)
	errs = append(errs, s.checkVariables(spec.Variables, path.Child("variables"))...)
	if len(spec.Validations)+len(spec.AuditAnnotations) == 0 {
		return append(errs, nothingToDo(path)...)
	}
	for i := range spec.Validations {
		errs = append(errs, s.checkValidation(&spec.Validations[i], path.Child("validations").Index(i))...)
	}
	keys := map[string]bool{}
	at := path.Child("auditAnnotations")
	if len(spec.AuditAnnotations) > maxAnnotations {
		errs = append(errs, field.Invalid(at, spec.AuditAnnotations, fmt.Sprintf("must not have more than %d auditAnnotations", maxAnnotations)))
	}
	for i := range spec.AuditAnnotations {
		a := &spec.AuditAnnotations[i]
		errs = append(errs, s.checkAnnotation(p.Name, a, at.Index(i))...)
		if keys[a.Key] {
			errs = append(errs, field.Duplicate(at.Index(i).Child("key"), a.Key))
		}
		keys[a.Key] = true
	}
	return errs
}

func nothingToDo(path *field.Path) field.ErrorList {
	const text = "validations or auditAnnotations must contain at least one item"
	return field.ErrorList{field.Required(path.Child("validations"), text), field.Required(path.Child("auditAnnotations"), text)}
}

func checkMutatingPolicy(p *mutatingPolicy, sameConditions bool, k known) field.ErrorList {
	spec, path := &p.Spec, field.NewPath("spec")
	errs := checkPolicy(policyOfMutating(spec), true, sameConditions, k.conditions, path)
	s := newScope(true, spec.ParamKind != nil, k)
	errs = append(errs, s.checkVariables(spec.Variables, path.Child("variables"))...)
	for i := range spec.Mutations {
		errs = append(errs, s.checkMutation(&spec.Mutations[i], path.Child("mutations").Index(i))...)
	}
	if len(spec.Mutations) == 0 {
		errs = append(errs, field.Required(path.Child("mutations"), "mutations must contain at least one item"))
	}
	if spec.ReinvocationPolicy == "" {
		return append(errs, field.Required(path.Child("reinvocationPolicy"), ""))
	}
	return append(errs, oneOf(&spec.ReinvocationPolicy, reinvocations, path.Child("reinvocationPolicy"))...)
}

func (s *scope) checkMutation(m *admissionv1.Mutation, path *field.Path) field.ErrorList {
	apply, patch := path.Child("applyConfiguration"), path.Child("jsonPatch")
	var errs field.ErrorList
	switch m.PatchType {
	case "":
		errs = append(errs, field.Required(path.Child("patchType"), ""))
	case admissionv1.PatchTypeJSONPatch:
		if m.JSONPatch == nil {
			errs = append(errs, field.Required(patch, "must be specified when patchType is JSONPatch"))
		} else {
			errs = append(errs, s.checkPatch(m.JSONPatch.Expression, expression.JSONPatch, patch.Child("expression"))...)
		}
		if m.ApplyConfiguration != nil {
			errs = append(errs, field.Invalid(apply, "{applyConfiguration}", "must not be specified when patchType is JSONPatch"))
		}
	case admissionv1.PatchTypeApplyConfiguration:
		if m.ApplyConfiguration == nil {
			errs = append(errs, field.Required(apply, "must be specified when patchType is ApplyConfiguration"))
		} else {
			errs = append(errs, s.checkPatch(m.ApplyConfiguration.Expression, expression.Apply, apply.Child("expression"))...)
		}
		if m.JSONPatch != nil {
			errs = append(errs, field.Invalid(patch, "{jsonPatch}", "must not be specified when patchType is ApplyConfiguration"))
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("patchType"), m.PatchType, patchTypes))
	}
	return errs
}

// checkBinding validates what bindings of both kinds have.
func checkBinding(name string, ref *admissionv1.ParamRef, match *admissionv1.MatchResources) field.ErrorList {
	path := field.NewPath("spec")
	var errs field.ErrorList
	if name == "" {
		errs = append(errs, field.Required(path.Child("policyName"), ""))
	} else {
		for _, msg := range validation.NameIsDNSSubdomain(name, false) {
			errs = append(errs, field.Invalid(path.Child("policyName"), name, msg))
		}
	}
	errs = append(errs, checkParamRef(ref, path.Child("paramRef"))...)
	return append(errs, checkMatch(match, path.Child("matchResources"))...)
}

func checkParamRef(r *admissionv1.ParamRef, path *field.Path) field.ErrorList {
	if r == nil {
		return nil
	}
	const both = "name and selector are mutually exclusive"
	var errs field.ErrorList
	if r.Name != "" {
		for _, msg := range content.IsPathSegmentName(r.Name) {
			errs = append(errs, field.Invalid(path.Child("name"), r.Name, msg))
		}
		if r.Selector != nil {
			errs = append(errs, field.Forbidden(path.Child("name"), both))
		}
	}
	if r.Selector != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(r.Selector, metavalidation.LabelSelectorValidationOptions{}, path.Child("selector"))...)
		if r.Name != "" {
			errs = append(errs, field.Forbidden(path.Child("selector"), both))
		}
	}
	if r.Name == "" && r.Selector == nil {
		errs = append(errs, field.Required(path, "one of name or selector must be specified"))
	}
	action := path.Child("parameterNotFoundAction")
	switch p := r.ParameterNotFoundAction; {
	case p == nil || *p == "":
		errs = append(errs, field.Required(action, ""))
	case *p != admissionv1.DenyAction && *p != admissionv1.AllowAction:
		errs = append(errs, field.NotSupported(action, p, notFound))
	}
	return errs
}

func checkActions(list []admissionv1.ValidationAction, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[admissionv1.ValidationAction]bool{}
	for i := range list {
		errs = append(errs, oneOf(&list[i], actions, path.Index(i))...)
		if seen[list[i]] {
			errs = append(errs, field.Duplicate(path.Index(i), list[i]))
		}
		seen[list[i]] = true
	}
	if seen[admissionv1.Deny] && seen[admissionv1.Warn] {
		errs = append(errs, field.Invalid(path, list, "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"))
	}
	if len(seen) == 0 {
		errs = append(errs, field.Required(path, "at least one validation action is required"))
	}
	return errs
}
