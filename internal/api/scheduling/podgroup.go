package scheduling

import (
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// GroupFinalizer keeps a PodGroup while there are pods of it that have not ended.
const GroupFinalizer = "scheduling.k8s.io/podgroup-protection"

// PodGroups is the kind PodGroup, which is served when the feature GenericWorkload is on.
func PodGroups() *api.Kind {
	path := field.NewPath("spec")
	return &api.Kind{
		Group: schedulingv1alpha3.GroupName, Version: "v1alpha3", Kind: "PodGroup", Resource: "podgroups", Singular: "podgroup", Namespaced: true,
		New:     func() api.Object { return &schedulingv1alpha3.PodGroup{} },
		NewList: func() runtime.Object { return &schedulingv1alpha3.PodGroupList{} },

		Default: api.On(func(g *schedulingv1alpha3.PodGroup) {
			if g.Spec.DisruptionMode == nil {
				g.Spec.DisruptionMode = &schedulingv1alpha3.DisruptionMode{Single: &schedulingv1alpha3.SingleDisruptionMode{}}
			}
		}),
		PrepareCreate: api.On(func(g *schedulingv1alpha3.PodGroup) {
			g.Status = schedulingv1alpha3.PodGroupStatus{}
			dropGroupFields(&g.Spec, &schedulingv1alpha3.PodGroupSpec{})
		}),
		PrepareUpdate: api.OnChange(func(g, old *schedulingv1alpha3.PodGroup) {
			g.Status = old.Status
			dropGroupFields(&g.Spec, &old.Spec)
		}),
		Validate: api.Check(func(g *schedulingv1alpha3.PodGroup) field.ErrorList {
			return valid.Declared(nil, valid.Changed(schedulingv1alpha3.Validate_PodGroupSpec, &g.Spec, nil, later, path))
		}),
		ValidateUpdate: api.CheckChange(func(g, old *schedulingv1alpha3.PodGroup) field.ErrorList {
			return valid.Declared(nil, valid.Changed(schedulingv1alpha3.Validate_PodGroupSpec, &g.Spec, &old.Spec, later, path))
		}),
		Subresources: []api.Subresource{{
			Name: "status", Verbs: []string{"get", "patch", "update"},
			PrepareUpdate: api.OnChange(func(g, old *schedulingv1alpha3.PodGroup) {
				g.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(&g.ObjectMeta, &old.ObjectMeta)
				if len(old.Spec.ResourceClaims) == 0 {
					g.Status.ResourceClaimStatuses = nil
				}
			}),
			ValidateUpdate: api.CheckChange(validateGroupStatus),
			ResetFields:    []string{"metadata", "spec"},
		}},
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("Policy", "string", schedulingv1alpha3.PodGroupSpec{}.SwaggerDoc()["schedulingPolicy"]),
			api.Column("Workload", "string", "Name of the referenced Workload object"),
			api.Column("Status", "string", "Status of the PodGroup"),
			api.AgeColumn(),
		},
		Row: api.Cells(groupRow),
	}
}

// dropGroupFields clears what belongs to features that are off, unless old has it in use.
func dropGroupFields(spec, old *schedulingv1alpha3.PodGroupSpec) {
	if old.SchedulingConstraints == nil {
		spec.SchedulingConstraints = nil
	}
	if len(old.ResourceClaims) == 0 {
		spec.ResourceClaims = nil
	}
	if old.PreemptionPolicy == nil {
		spec.PreemptionPolicy = nil
	}
	if old.ParentCompositePodGroupName == nil {
		spec.ParentCompositePodGroupName = nil
	}
}

func validateGroupStatus(g, old *schedulingv1alpha3.PodGroup) field.ErrorList {
	path := field.NewPath("status")
	errs := metavalidation.ValidateConditions(g.Status.Conditions, path.Child("conditions"))
	for i, s := range g.Status.ResourceClaimStatuses {
		if !slices.ContainsFunc(g.Spec.ResourceClaims, func(c schedulingv1alpha3.PodGroupResourceClaim) bool { return c.Name == s.Name }) {
			errs = append(errs, field.Invalid(path.Child("resourceClaimStatuses").Index(i).Child("name"), s.Name,
				"must match the name of an entry in `spec.resourceClaims`"))
		}
	}
	return valid.Declared(errs, valid.Changed(schedulingv1alpha3.Validate_PodGroupStatus, &g.Status, &old.Status, later, path))
}

func groupRow(g *schedulingv1alpha3.PodGroup) []any {
	policy, workload, status := "Basic", "<none>", "Pending"
	if g.Spec.SchedulingPolicy.Gang != nil {
		policy = "Gang"
	}
	if ref := g.Spec.WorkloadRef; ref != nil {
		workload = ref.WorkloadName
	}
	if c := meta.FindStatusCondition(g.Status.Conditions, schedulingv1alpha3.PodGroupInitiallyScheduled); c != nil {
		status = "Unschedulable"
		if c.Status == metav1.ConditionTrue {
			status = "Scheduled"
		}
	}
	if c := meta.FindStatusCondition(g.Status.Conditions, schedulingv1alpha3.DisruptionTarget); c != nil {
		status = c.Reason
	}
	return []any{g.Name, policy, workload, status, g.CreationTimestamp}
}
