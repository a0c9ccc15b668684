package admissionregistration

import (
	"sampan.dev/internal/api"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type mutatingPolicy = admissionv1.MutatingAdmissionPolicy

// MutatingAdmissionPolicies is the kind MutatingAdmissionPolicy. Whether its author may read the kind of its parameters is for
// admission to ask.
func MutatingAdmissionPolicies() *api.Kind {
	k := kind("MutatingAdmissionPolicy", "mutatingadmissionpolicies", "mutatingadmissionpolicy")
	k.New = func() api.Object { return &mutatingPolicy{} }
	k.NewList = func() runtime.Object { return &admissionv1.MutatingAdmissionPolicyList{} }
	k.Default = api.On(func(p *mutatingPolicy) {
		unset(&p.Spec.FailurePolicy, admissionv1.Fail)
		defaultMatch(p.Spec.MatchConstraints)
	})
	k.PrepareCreate = api.On(func(p *mutatingPolicy) { p.Generation = 1 })
	k.PrepareUpdate = api.OnChange(func(p, old *mutatingPolicy) {
		if !equality.Semantic.DeepEqual(p.Spec, old.Spec) {
			p.Generation = old.Generation + 1
		}
	})
	k.Validate = api.Check(func(p *mutatingPolicy) field.ErrorList {
		return append(checkMutatingPolicy(p, false, known{}), checkName(p)...)
	})
	k.ValidateUpdate = api.CheckChange(func(p, old *mutatingPolicy) field.ErrorList {
		return checkMutatingPolicy(p, sameConditions(policyOfMutating(&p.Spec), policyOfMutating(&old.Spec)), knownOfMutating(&old.Spec))
	})
	k.Warnings = warnName
	k.Columns = []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Mutations", "integer", "Mutation indicates the number of mutations rules defined in this configuration"),
		api.Column("ParamKind", "string", "ParamKind specifies the kind of resources used to parameterize this policy"),
		api.AgeColumn(),
	}
	k.Row = api.Cells(func(p *mutatingPolicy) []any {
		return []any{p.Name, int64(len(p.Spec.Mutations)), paramCell(p.Spec.ParamKind), p.CreationTimestamp}
	})
	return k
}

func policyOfMutating(s *admissionv1.MutatingAdmissionPolicySpec) policy {
	return policy{failure: s.FailurePolicy, params: s.ParamKind, match: s.MatchConstraints, conditions: s.MatchConditions}
}

// knownOfMutating are the stored expressions. Upstream looks a JSON patch's up among those of apply configurations, too.
func knownOfMutating(s *admissionv1.MutatingAdmissionPolicySpec) known {
	k := known{conditions: expressionsOf(s.MatchConditions), applied: map[string]bool{}}
	for _, m := range s.Mutations {
		if m.ApplyConfiguration != nil {
			k.applied[m.ApplyConfiguration.Expression] = true
		}
	}
	return k
}
