package core

import (
	"maps"
	"reflect"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ConfigMaps is the kind ConfigMap.
func ConfigMaps() *api.Kind {
	return &api.Kind{
		Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Singular: "configmap",
		ShortNames: []string{"cm"}, Namespaced: true,
		New:     func() api.Object { return &corev1.ConfigMap{} },
		NewList: func() runtime.Object { return &corev1.ConfigMapList{} },

		Validate:       api.Check(validateConfigMap),
		ValidateUpdate: api.CheckChange(validateConfigMapUpdate),
		Unconditional:  true,
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(), api.Column("Data", "string", corev1.ConfigMap{}.SwaggerDoc()["data"]), api.AgeColumn(),
		},
		Row: api.Cells(func(c *corev1.ConfigMap) []any {
			return []any{c.Name, int64(len(c.Data) + len(c.BinaryData)), c.CreationTimestamp}
		}),
	}
}

func validateConfigMap(c *corev1.ConfigMap) field.ErrorList {
	errs := valid.KubeFinalizers(c)
	total := 0
	for _, key := range slices.Sorted(maps.Keys(c.Data)) {
		errs = append(errs, dataKey(field.NewPath("data"), key)...)
		if _, ok := c.BinaryData[key]; ok {
			errs = append(errs, field.Invalid(field.NewPath("data").Key(key), key, "duplicate of key present in binaryData"))
		}
		total += len(c.Data[key])
	}
	for _, key := range slices.Sorted(maps.Keys(c.BinaryData)) {
		errs = append(errs, dataKey(field.NewPath("binaryData"), key)...)
		total += len(c.BinaryData[key])
	}
	if total > corev1.MaxSecretSize {
		errs = append(errs, field.TooLong(field.NewPath(""), "", corev1.MaxSecretSize))
	}
	return errs
}

func dataKey(path *field.Path, key string) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsConfigMapKey(key) {
		errs = append(errs, field.Invalid(path.Key(key), key, msg))
	}
	return errs
}

const immutableOnceSet = "field is immutable when `immutable` is set"

func validateConfigMapUpdate(c, old *corev1.ConfigMap) field.ErrorList {
	var errs field.ErrorList
	if isTrue(old.Immutable) {
		if !isTrue(c.Immutable) {
			errs = append(errs, field.Forbidden(field.NewPath("immutable"), immutableOnceSet))
		}
		if !sameData(c.Data, old.Data) {
			errs = append(errs, field.Forbidden(field.NewPath("data"), immutableOnceSet))
		}
		if !sameData(c.BinaryData, old.BinaryData) {
			errs = append(errs, field.Forbidden(field.NewPath("binaryData"), immutableOnceSet))
		}
	}
	return append(errs, validateConfigMap(c)...)
}

// sameData compares two maps; no map and an empty one are the same, since storage does not tell them apart.
func sameData[V any](a, b map[string]V) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

func isTrue(b *bool) bool { return b != nil && *b }
