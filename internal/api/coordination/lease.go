package coordination

import (
	"strings"

	"sampan.dev/internal/api"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Leases is the kind Lease.
func Leases() *api.Kind {
	return &api.Kind{
		Group: coordinationv1.GroupName, Version: "v1", Kind: "Lease", Resource: "leases", Singular: "lease", Namespaced: true,
		New:     func() api.Object { return &coordinationv1.Lease{} },
		NewList: func() runtime.Object { return &coordinationv1.LeaseList{} },

		// Coordinated leader election is not served (its gate is off by default), so its fields are not kept.
		PrepareCreate: api.On(func(l *coordinationv1.Lease) { l.Spec.Strategy, l.Spec.PreferredHolder = nil, nil }),
		PrepareUpdate: api.OnChange(func(l, old *coordinationv1.Lease) {
			if old.Spec.Strategy == nil {
				l.Spec.Strategy = nil
			}
			if old.Spec.PreferredHolder == nil {
				l.Spec.PreferredHolder = nil
			}
		}),
		Validate:       api.Check(validateLease),
		ValidateUpdate: api.CheckChange(func(l, _ *coordinationv1.Lease) field.ErrorList { return validateLease(l) }),
		CreateOnUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("Holder", "string", coordinationv1.LeaseSpec{}.SwaggerDoc()["holderIdentity"]),
			api.AgeColumn(),
		},
		Row: api.Cells(func(l *coordinationv1.Lease) []any {
			holder := ""
			if l.Spec.HolderIdentity != nil {
				holder = *l.Spec.HolderIdentity
			}
			return []any{l.Name, holder, l.CreationTimestamp}
		}),
	}
}

func validateLease(l *coordinationv1.Lease) field.ErrorList {
	path, spec := field.NewPath("spec"), &l.Spec
	var errs field.ErrorList
	if n := spec.LeaseDurationSeconds; n != nil && *n <= 0 {
		errs = append(errs, field.Invalid(path.Child("leaseDurationSeconds"), *n, "must be greater than 0"))
	}
	if n := spec.LeaseTransitions; n != nil && *n < 0 {
		errs = append(errs, field.Invalid(path.Child("leaseTransitions"), *n, "must be greater than or equal to 0"))
	}
	if spec.Strategy != nil {
		errs = append(errs, checkStrategy(*spec.Strategy, path.Child("strategy"))...)
	}
	if h := spec.PreferredHolder; h != nil && *h != "" && (spec.Strategy == nil || *spec.Strategy == "") {
		errs = append(errs, field.Forbidden(path.Child("preferredHolder"), "may only be specified if `strategy` is defined"))
	}
	return errs
}

func checkStrategy(s coordinationv1.CoordinatedLeaseStrategy, path *field.Path) field.ErrorList {
	at := path.Child("strategy") // twice, as upstream has it
	if !strings.Contains(string(s), "/") {
		if s == coordinationv1.OldestEmulationVersion {
			return nil
		}
		return field.ErrorList{field.NotSupported(at, s, []coordinationv1.CoordinatedLeaseStrategy{coordinationv1.OldestEmulationVersion})}
	}
	var errs field.ErrorList
	for _, msg := range validation.IsQualifiedName(string(s)) {
		errs = append(errs, field.Invalid(at, s, msg))
	}
	return errs
}
