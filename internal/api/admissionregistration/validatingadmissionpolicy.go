package admissionregistration

import (
	"fmt"
	"strings"

	"sampan.dev/internal/api"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/util/jsonpath"
)

type validatingPolicy = admissionv1.ValidatingAdmissionPolicy

// ValidatingAdmissionPolicies is the kind ValidatingAdmissionPolicy. Whether its author may read the kind of its parameters is for
// admission to ask: a kind does not see the caller.
func ValidatingAdmissionPolicies() *api.Kind {
	k := kind("ValidatingAdmissionPolicy", "validatingadmissionpolicies", "validatingadmissionpolicy")
	k.New = func() api.Object { return &validatingPolicy{} }
	k.NewList = func() runtime.Object { return &admissionv1.ValidatingAdmissionPolicyList{} }
	k.Default = api.On(func(p *validatingPolicy) {
		unset(&p.Spec.FailurePolicy, admissionv1.Fail)
		defaultMatch(p.Spec.MatchConstraints)
	})
	k.PrepareCreate = api.On(func(p *validatingPolicy) {
		p.Status, p.Generation = admissionv1.ValidatingAdmissionPolicyStatus{}, 1
	})
	k.PrepareUpdate = api.OnChange(func(p, old *validatingPolicy) {
		p.Status = old.Status
		if !equality.Semantic.DeepEqual(p.Spec, old.Spec) {
			p.Generation = old.Generation + 1
		}
	})
	k.Validate = api.Check(func(p *validatingPolicy) field.ErrorList {
		return append(checkValidatingPolicy(p, false, known{}), checkName(p)...)
	})
	k.ValidateUpdate = api.CheckChange(func(p, old *validatingPolicy) field.ErrorList {
		return checkValidatingPolicy(p, sameConditions(policyOfValidating(&p.Spec), policyOfValidating(&old.Spec)), knownOfValidating(&old.Spec))
	})
	k.Warnings = warnName
	k.Subresources = []api.Subresource{policyStatus()}
	k.Columns = []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Validations", "integer", "Validations indicates the number of validation rules defined in this configuration"),
		api.Column("ParamKind", "string", "ParamKind specifies the kind of resources used to parameterize this policy"),
		api.AgeColumn(),
	}
	k.Row = api.Cells(func(p *validatingPolicy) []any {
		return []any{p.Name, int64(len(p.Spec.Validations)), paramCell(p.Spec.ParamKind), p.CreationTimestamp}
	})
	return k
}

func policyStatus() api.Subresource {
	return api.Subresource{
		Name: "status", Verbs: []string{"get", "patch", "update"},
		PrepareUpdate: api.OnChange(func(p, old *validatingPolicy) {
			p.Spec = old.Spec
			metav1.ResetObjectMetaForStatus(&p.ObjectMeta, &old.ObjectMeta)
		}),
		ValidateUpdate: api.CheckChange(func(p, _ *validatingPolicy) field.ErrorList { return checkPolicyStatus(&p.Status) }),
		ResetFields:    []string{"spec", "metadata"},
	}
}

func checkPolicyStatus(s *admissionv1.ValidatingAdmissionPolicyStatus) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("status")
	if s.TypeChecking != nil {
		for i, w := range s.TypeChecking.ExpressionWarnings {
			at := path.Child("typeChecking", "expressionWarnings").Index(i)
			if w.Warning == "" {
				errs = append(errs, field.Required(at.Child("warning"), ""))
			}
			ref := strings.TrimSpace(w.FieldRef)
			if ref == "" {
				errs = append(errs, field.Required(at.Child("fieldRef"), ""))
			} else if err := jsonpath.New("spec").Parse("{" + ref + "}"); err != nil {
				errs = append(errs, field.Invalid(at.Child("fieldRef"), ref, fmt.Sprintf("invalid JSONPath: %v", err)))
			}
		}
	}
	return append(errs, metavalidation.ValidateConditions(s.Conditions, path.Child("conditions"))...)
}

func policyOfValidating(s *admissionv1.ValidatingAdmissionPolicySpec) policy {
	return policy{failure: s.FailurePolicy, params: s.ParamKind, match: s.MatchConstraints, conditions: s.MatchConditions}
}

// sameConditions reports that nothing has changed which could make match conditions wrong that were right.
func sameConditions(p, old policy) bool {
	return equality.Semantic.DeepEqual(p.params, old.params) && equality.Semantic.DeepEqual(p.conditions, old.conditions)
}

func knownOfValidating(s *admissionv1.ValidatingAdmissionPolicySpec) known {
	k := known{conditions: expressionsOf(s.MatchConditions), validations: map[string]bool{}, messages: map[string]bool{}, annotations: map[string]bool{}}
	for _, v := range s.Validations {
		k.validations[v.Expression], k.messages[v.MessageExpression] = true, true
	}
	for _, a := range s.AuditAnnotations {
		k.annotations[a.ValueExpression] = true
	}
	return k
}

func expressionsOf(list []admissionv1.MatchCondition) map[string]bool {
	out := map[string]bool{}
	for _, c := range list {
		out[c.Expression] = true
	}
	return out
}
