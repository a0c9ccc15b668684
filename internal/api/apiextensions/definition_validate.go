package apiextensions

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate checks a new definition, prepared and with its defaults, by everything that is known of definitions: structural
// schemas, defaults that hold, rules in CEL that compile and whose estimated cost is bounded, columns, selectable fields,
// conversion. Of ObjectMeta it checks only that the name is that of the resource and the group; the rest is the caller's.
func Validate(ctx context.Context, crd *Definition) field.ErrorList {
	in, err := bare(crd)
	if err != nil {
		return internalError(err)
	}
	var errs field.ErrorList
	if want := crd.Spec.Names.Plural + "." + crd.Spec.Group; crd.Name != want {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), crd.Name, `must be spec.names.plural+"."+spec.group`))
	}
	return append(errs, withoutName(validation.ValidateCustomResourceDefinition(ctx, in))...)
}

// ValidateUpdate checks the change of a definition from old to crd. What was stored before there was a rule against it is
// passed over, as long as it stays.
func ValidateUpdate(ctx context.Context, crd, old *Definition) field.ErrorList {
	in, err := bare(crd)
	if err != nil {
		return internalError(err)
	}
	was, err := bare(old)
	if err != nil {
		return internalError(err)
	}
	return withoutName(validation.ValidateCustomResourceDefinitionUpdate(ctx, in, was))
}

// ValidateStatus checks the change of a definition's status from old to crd. Of the specification nothing can change by it, and
// nothing of it is looked at: the schemas, which are most of a definition, are not converted.
func ValidateStatus(ctx context.Context, crd, old *Definition) field.ErrorList {
	in, err := bare(&Definition{ObjectMeta: crd.ObjectMeta, Spec: named(crd.Spec), Status: crd.Status})
	if err != nil {
		return internalError(err)
	}
	was, err := bare(&Definition{ObjectMeta: old.ObjectMeta, Spec: named(old.Spec), Status: old.Status})
	if err != nil {
		return internalError(err)
	}
	return withoutName(validation.ValidateUpdateCustomResourceDefinitionStatus(ctx, in, was))
}

// named is what of a specification the name is made of.
func named(s apiextensionsv1.CustomResourceDefinitionSpec) apiextensionsv1.CustomResourceDefinitionSpec {
	return apiextensionsv1.CustomResourceDefinitionSpec{Group: s.Group, Names: s.Names, Scope: s.Scope}
}

// bare converts a definition to the form that the library takes, with metadata of which nothing can be wrong but the approval of a
// protected group.
func bare(crd *Definition) (*apiextensions.CustomResourceDefinition, error) {
	short := *crd
	short.ObjectMeta = metav1.ObjectMeta{Name: crd.Spec.Names.Plural + "." + crd.Spec.Group, ResourceVersion: "1", Generation: crd.Generation}
	if approval, ok := crd.Annotations[apiextensionsv1.KubeAPIApprovedAnnotation]; ok {
		short.Annotations = map[string]string{apiextensionsv1.KubeAPIApprovedAnnotation: approval}
	}
	var out apiextensions.CustomResourceDefinition
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(short.DeepCopy(), &out, nil); err != nil {
		return nil, fmt.Errorf("convert %s: %w", crd.Name, err)
	}
	return &out, nil
}

// withoutName leaves out what the library finds wrong with the name that bare made, which is wrong when the group or the plural
// is: those have errors of their own, and the real name is the caller's to check.
func withoutName(errs field.ErrorList) field.ErrorList {
	return slices.DeleteFunc(errs, func(err *field.Error) bool { return err.Field == "metadata.name" })
}

// normalize makes of a definition what upstream's store makes of it, which has all definitions go through another form: a default
// or an example of null is none, JSON values are written anew with sorted keys. What cannot be converted stays as it is, and is
// refused by Validate. crd is changed.
func normalize(crd *Definition) {
	var in apiextensions.CustomResourceDefinitionSpec
	if apiextensionsv1.Convert_v1_CustomResourceDefinitionSpec_To_apiextensions_CustomResourceDefinitionSpec(&crd.Spec, &in, nil) != nil {
		return
	}
	var out apiextensionsv1.CustomResourceDefinitionSpec
	if apiextensionsv1.Convert_apiextensions_CustomResourceDefinitionSpec_To_v1_CustomResourceDefinitionSpec(&in, &out, nil) == nil {
		crd.Spec = out
	}
}

func internalError(err error) field.ErrorList {
	return field.ErrorList{field.InternalError(nil, fmt.Errorf("%w", err))}
}
