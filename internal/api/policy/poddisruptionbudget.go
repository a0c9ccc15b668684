package policy

import (
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PodDisruptionBudgets is the kind PodDisruptionBudget.
func PodDisruptionBudgets() *api.Kind {
	return &api.Kind{
		Group: "policy", Version: "v1", Kind: "PodDisruptionBudget", Resource: "poddisruptionbudgets", Singular: "poddisruptionbudget",
		ShortNames: []string{"pdb"}, Namespaced: true,
		New:     func() api.Object { return &policyv1.PodDisruptionBudget{} },
		NewList: func() runtime.Object { return &policyv1.PodDisruptionBudgetList{} },

		PrepareCreate: api.On(func(b *policyv1.PodDisruptionBudget) {
			b.Status = policyv1.PodDisruptionBudgetStatus{}
			b.Generation = 1
			stripOldLabel(b, nil)
		}),
		PrepareUpdate: api.OnChange(func(b, old *policyv1.PodDisruptionBudget) {
			b.Status = old.Status
			b.Generation = old.Generation
			if !equality.Semantic.DeepEqual(&b.Spec, &old.Spec) {
				b.Generation++
			}
			stripOldLabel(b, old)
		}),
		Validate: api.Check(validateBudget),
		ValidateUpdate: api.CheckChange(func(b, _ *policyv1.PodDisruptionBudget) field.ErrorList {
			return validateBudget(b)
		}),
		Subresources: []api.Subresource{{
			Name: "status", Verbs: []string{"get", "patch", "update"},
			PrepareUpdate:  api.OnChange(func(b, old *policyv1.PodDisruptionBudget) { b.Spec = old.Spec }),
			ValidateUpdate: api.CheckChange(validateBudgetStatus),
		}},
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("Min Available", "string", "The minimum number of pods that must be available."),
			api.Column("Max Unavailable", "string", "The maximum number of pods that may be unavailable."),
			api.Column("Allowed Disruptions", "integer", "Calculated number of pods that may be disrupted at this time."),
			api.AgeColumn(),
		},
		Row: api.Cells(func(b *policyv1.PodDisruptionBudget) []any {
			return []any{b.Name, boundCell(b.Spec.MinAvailable), boundCell(b.Spec.MaxUnavailable), int64(b.Status.DisruptionsAllowed), b.CreationTimestamp}
		}),
	}
}

func boundCell(v *intstr.IntOrString) string {
	if v == nil {
		return "N/A"
	}
	return v.String()
}

// oldLabel says in a selector that it was written as v1beta1, where an empty selector selected nothing. It may stand alone only.
const oldLabel = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"

// stripOldLabel takes the label out of a selector that has other parts too; old is nil on create.
func stripOldLabel(b, old *policyv1.PodDisruptionBudget) {
	s := b.Spec.Selector
	if s == nil || old != nil && equality.Semantic.DeepEqual(old.Spec.Selector, s) {
		return
	}
	none := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: oldLabel, Operator: metav1.LabelSelectorOpExists}}}
	if equality.Semantic.DeepEqual(s, none) {
		return
	}
	s.MatchExpressions = slices.DeleteFunc(s.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool { return r.Key == oldLabel })
}

func validateBudget(b *policyv1.PodDisruptionBudget) field.ErrorList {
	path, s := field.NewPath("spec"), &b.Spec
	var errs field.ErrorList
	if s.MinAvailable != nil && s.MaxUnavailable != nil {
		errs = append(errs, field.Invalid(path, valid.Internal(s), "minAvailable and maxUnavailable cannot be both set"))
	}
	for _, bound := range []struct {
		name  string
		value *intstr.IntOrString
	}{{"minAvailable", s.MinAvailable}, {"maxUnavailable", s.MaxUnavailable}} {
		if bound.value != nil {
			at := path.Child(bound.name)
			errs = append(errs, valid.IntOrPercent(*bound.value, at)...)
			errs = append(errs, valid.AtMost100Percent(*bound.value, at)...)
		}
	}
	errs = append(errs, valid.LabelSelector(s.Selector, path.Child("selector"))...)
	if p := s.UnhealthyPodEvictionPolicy; p != nil {
		errs = append(errs, valid.OneOf(*p, path.Child("unhealthyPodEvictionPolicy"), policyv1.AlwaysAllow, policyv1.IfHealthyBudget)...)
	}
	return errs
}

func validateBudgetStatus(b, _ *policyv1.PodDisruptionBudget) field.ErrorList {
	path, s := field.NewPath("status"), &b.Status
	errs := metavalidation.ValidateConditions(s.Conditions, path.Child("conditions"))
	errs = append(errs, valid.NonNegative(int64(s.DisruptionsAllowed), path.Child("disruptionsAllowed"))...)
	errs = append(errs, valid.NonNegative(int64(s.CurrentHealthy), path.Child("currentHealthy"))...)
	errs = append(errs, valid.NonNegative(int64(s.DesiredHealthy), path.Child("desiredHealthy"))...)
	return append(errs, valid.NonNegative(int64(s.ExpectedPods), path.Child("expectedPods"))...)
}
