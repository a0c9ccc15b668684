package apiextensions

import (
	"context"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Definition is a custom resource definition, in the only version that is served.
type Definition = apiextensionsv1.CustomResourceDefinition

// Definitions is the kind CustomResourceDefinition. A deleted one stays until all objects that it defines are gone: a finalizer,
// which the deletion itself puts on, keeps it.
func Definitions() *api.Kind {
	return &api.Kind{
		Group: apiextensionsv1.GroupName, Version: "v1", Kind: "CustomResourceDefinition",
		Resource: "customresourcedefinitions", Singular: "customresourcedefinition",
		ShortNames: []string{"crd", "crds"}, Categories: []string{"api-extensions"},
		Prefix:  "apiextensions.k8s.io/customresourcedefinitions",
		New:     func() api.Object { return &Definition{} },
		NewList: func() runtime.Object { return &apiextensionsv1.CustomResourceDefinitionList{} },
		Codec:   codec{},
		Bulky:   true,

		Termination: &api.Termination{Begin: beginTermination, Held: func(api.Object) bool { return false }, Alone: true},

		Default:       api.On(setDefaults),
		PrepareCreate: api.On(prepareCreate),
		PrepareUpdate: api.OnChange(prepareUpdate),
		Validate:      api.Check(func(d *Definition) field.ErrorList { return Validate(context.Background(), d) }),
		ValidateUpdate: api.CheckChange(func(d, old *Definition) field.ErrorList {
			return ValidateUpdate(context.Background(), d, old)
		}),
		Warnings: func(obj, old api.Object) []string {
			was, _ := old.(*Definition)
			return Warnings(obj.(*Definition), was)
		},
		Subresources: []api.Subresource{{
			Name: "status", Verbs: []string{"get", "patch", "update"},
			PrepareUpdate: api.OnChange(func(d, old *Definition) { d.Spec = old.Spec }),
			ValidateUpdate: api.CheckChange(func(d, old *Definition) field.ErrorList {
				return ValidateStatus(context.Background(), d, old)
			}),
		}},
		Columns: columns(),
		Row:     api.Cells(row),
	}
}

func setDefaults(d *Definition) {
	names := &d.Spec.Names
	if names.Singular == "" {
		names.Singular = strings.ToLower(names.Kind)
	}
	if names.ListKind == "" && names.Kind != "" {
		names.ListKind = names.Kind + "List"
	}
	if d.Spec.Conversion == nil {
		d.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter}
	}
	if w := d.Spec.Conversion.Webhook; w != nil && w.ClientConfig != nil && w.ClientConfig.Service != nil && w.ClientConfig.Service.Port == nil {
		w.ClientConfig.Service.Port = new(int32(443))
	}
	if len(d.Status.StoredVersions) == 0 {
		noteStorage(d)
	}
}

// noteStorage notes that objects may be stored in the version in which they are now.
func noteStorage(d *Definition) {
	for _, v := range d.Spec.Versions {
		if !v.Storage {
			continue
		}
		if !slices.Contains(d.Status.StoredVersions, v.Name) {
			d.Status.StoredVersions = append(slices.Clip(d.Status.StoredVersions), v.Name)
		}
		return
	}
}

func prepareCreate(d *Definition) {
	d.Status = apiextensionsv1.CustomResourceDefinitionStatus{}
	d.Generation = 1
	normalize(d)
	noteStorage(d)
}

func prepareUpdate(d, old *Definition) {
	d.Status = old.Status
	normalize(d)
	if !apiequality.Semantic.DeepEqual(old.Spec, d.Spec) {
		d.Generation = old.Generation + 1
	}
	noteStorage(d)
}

// beginTermination has a deleted definition wait for its objects to be deleted.
func beginTermination(obj api.Object, at metav1.Time) {
	d := obj.(*Definition)
	d.DeletionTimestamp = &at
	if !slices.Contains(d.Finalizers, apiextensionsv1.CustomResourceCleanupFinalizer) {
		d.Finalizers = append(d.Finalizers, apiextensionsv1.CustomResourceCleanupFinalizer)
	}
	SetCondition(d, apiextensionsv1.CustomResourceDefinitionCondition{
		Type: apiextensionsv1.Terminating, Status: apiextensionsv1.ConditionTrue, Reason: "InstanceDeletionPending",
		Message: "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
	})
}

func columns() []metav1.TableColumnDefinition {
	meta := metav1.ObjectMeta{}.SwaggerDoc()
	wide := func(c metav1.TableColumnDefinition) metav1.TableColumnDefinition {
		c.Priority = 1
		return c
	}
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Scope", "string", "Cluster/Namespaced"),
		api.Column("Versions", "string", "Served versions"),
		api.Column("Created At", "date", meta["creationTimestamp"]),
		wide(api.Column("Group", "string", "API group")),
		wide(api.Column("Kind", "string", "CustomResource kind")),
		wide(api.Column("ShortNames", "string", "Short names")),
		wide(api.Column("Established", "boolean", "Established status")),
	}
}

func row(d *Definition) []any {
	var versions []string
	for _, v := range d.Spec.Versions {
		if !v.Served {
			continue
		}
		if v.Storage {
			v.Name += "(storage)"
		}
		versions = append(versions, v.Name)
	}
	slices.Sort(versions)
	return []any{
		d.Name, string(d.Spec.Scope), strings.Join(versions, ","), d.CreationTimestamp.UTC().Format(time.RFC3339),
		d.Spec.Group, d.Spec.Names.Kind, strings.Join(d.Spec.Names.ShortNames, ","),
		IsTrue(d, apiextensionsv1.Established),
	}
}
