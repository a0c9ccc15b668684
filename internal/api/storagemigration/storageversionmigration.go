package storagemigration

import (
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	svmv1 "k8s.io/api/storagemigration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// StorageVersionMigrations is the kind StorageVersionMigration.
func StorageVersionMigrations() *api.Kind {
	return &api.Kind{
		Group: svmv1.GroupName, Version: "v1", Kind: "StorageVersionMigration", Resource: "storageversionmigrations", Singular: "storageversionmigration",
		New:     func() api.Object { return &svmv1.StorageVersionMigration{} },
		NewList: func() runtime.Object { return &svmv1.StorageVersionMigrationList{} },

		PrepareCreate: api.On(func(m *svmv1.StorageVersionMigration) { m.Status = svmv1.StorageVersionMigrationStatus{} }),
		PrepareUpdate: api.OnChange(func(m, old *svmv1.StorageVersionMigration) { m.Status = old.Status }),
		Validate:      api.Check(validateMigration),
		ValidateUpdate: api.CheckChange(func(m, old *svmv1.StorageVersionMigration) field.ErrorList {
			return append(validateMigration(m), valid.ImmutableInternal(m.Spec, old.Spec, field.NewPath("spec"))...)
		}),
		Subresources: []api.Subresource{{
			Name: "status", Verbs: []string{"get", "patch", "update"},
			PrepareUpdate: api.OnChange(func(m, old *svmv1.StorageVersionMigration) {
				m.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(&m.ObjectMeta, &old.ObjectMeta)
			}),
			ValidateUpdate: api.CheckChange(validateMigrationStatus),
			ResetFields:    []string{"metadata", "spec"},
		}},
		Columns: []metav1.TableColumnDefinition{
			api.Column("Name", "string", metav1.ObjectMeta{}.SwaggerDoc()["name"]),
			api.Column("Resource", "string", "GroupResource to migrate"),
			api.Column("Status", "string", "Status of the migration"),
		},
		Row: api.Cells(func(m *svmv1.StorageVersionMigration) []any {
			return []any{m.Name, m.Spec.Resource.String(), stateCell(&m.Status)}
		}),
	}
}

// stateCell names the last of the conditions that holds.
func stateCell(s *svmv1.StorageVersionMigrationStatus) string {
	out := "Unknown"
	for _, c := range s.Conditions {
		switch svmv1.MigrationConditionType(c.Type) {
		case svmv1.MigrationRunning, svmv1.MigrationFailed, svmv1.MigrationSucceeded:
			if c.Status == metav1.ConditionTrue {
				out = c.Type
			}
		}
	}
	return out
}

func validateMigration(m *svmv1.StorageVersionMigration) field.ErrorList {
	path, r := field.NewPath("spec", "resource"), &m.Spec.Resource
	var errs field.ErrorList
	if r.Resource == "" {
		errs = append(errs, field.Required(path.Child("resource"), "resource is required to be set"))
	} else if msgs := validation.IsDNS1035Label(r.Resource); len(msgs) > 0 {
		errs = append(errs, field.Invalid(path.Child("resource"), r.Resource, strings.Join(msgs, ",")))
	}
	if r.Group != "" {
		if msgs := validation.IsDNS1123Subdomain(r.Group); len(msgs) > 0 {
			errs = append(errs, field.Invalid(path.Child("group"), r.Group, strings.Join(msgs, ",")))
		}
	}
	return errs
}

func validateMigrationStatus(m, old *svmv1.StorageVersionMigration) field.ErrorList {
	path := field.NewPath("status")
	var errs field.ErrorList
	at, rv, was := path.Child("resourceVersion"), m.Status.ResourceVersion, old.Status.ResourceVersion
	if rv != "" {
		if _, err := resourceversion.CompareResourceVersion(rv, rv); err != nil {
			errs = append(errs, field.Invalid(at, rv, err.Error()))
		}
	}
	conditions := path.Child("conditions")
	errs = append(errs, metavalidation.ValidateConditions(m.Status.Conditions, conditions)...)
	if was != "" && was != rv {
		errs = append(errs, field.Invalid(at, rv, "field is immutable"))
	}
	is := func(m *svmv1.StorageVersionMigration, t svmv1.MigrationConditionType) bool {
		return meta.IsStatusConditionTrue(m.Status.Conditions, string(t))
	}
	if is(m, svmv1.MigrationSucceeded) && is(m, svmv1.MigrationFailed) {
		errs = append(errs, field.Invalid(conditions, m.Status.Conditions, "Both success and failed conditions cannot be true at the same time"))
	}
	if is(old, svmv1.MigrationSucceeded) && !is(m, svmv1.MigrationSucceeded) {
		errs = append(errs, field.Invalid(conditions, m.Status.Conditions, "Success condition cannot be set to false once it is true"))
	}
	if is(old, svmv1.MigrationFailed) && !is(m, svmv1.MigrationFailed) {
		errs = append(errs, field.Invalid(conditions, m.Status.Conditions, "Failed condition cannot be set to false once it is true"))
	}
	return errs
}
