package valid

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// messages makes one Invalid error of each message that a rule of apimachinery's found.
func messages(path *field.Path, value any, msgs []string) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range msgs {
		errs = append(errs, field.Invalid(path, value, msg))
	}
	return errs
}

// Messages makes one Invalid error of each message that a rule of apimachinery's found.
func Messages(path *field.Path, value any, msgs []string) field.ErrorList {
	return messages(path, value, msgs)
}

// DNSLabel checks an RFC 1123 label: lower case letters, digits and "-", 63 bytes at most.
func DNSLabel(value string, path *field.Path) field.ErrorList {
	return messages(path, value, validation.IsDNS1123Label(value))
}

// DNSSubdomain checks labels joined by dots, 253 bytes at most: what most objects may be named.
func DNSSubdomain(value string, path *field.Path) field.ErrorList {
	return messages(path, value, validation.IsDNS1123Subdomain(value))
}

// QualifiedName checks "name" or "prefix.example.com/Name", as label keys are.
func QualifiedName(value string, path *field.Path) field.ErrorList {
	return messages(path, value, validation.IsQualifiedName(value))
}

// Labels checks keys and values of a label map.
func Labels(labels map[string]string, path *field.Path) field.ErrorList {
	return metavalidation.ValidateLabels(labels, path)
}

// LabelValue checks the value of one label.
func LabelValue(value string, path *field.Path) field.ErrorList {
	return messages(path, value, validation.IsValidLabelValue(value))
}

// ConditionReason checks the reason of a condition.
func ConditionReason(reason string, path *field.Path) field.ErrorList {
	return messages(path, reason, metavalidation.IsValidConditionReason(reason))
}

// Annotations checks keys and the total size of annotations.
func Annotations(annotations map[string]string, path *field.Path) field.ErrorList {
	return apivalidation.ValidateAnnotations(annotations, path)
}

// LabelSelector checks the form of a selector; nil is fine.
func LabelSelector(selector *metav1.LabelSelector, path *field.Path) field.ErrorList {
	return metavalidation.ValidateLabelSelector(selector, metavalidation.LabelSelectorValidationOptions{}, path)
}

// KubeFinalizers checks what the kinds of Kubernetes itself demand of metadata.finalizers beyond the generic rules: a name
// without a domain must be one of the standard ones.
func KubeFinalizers(meta metav1.Object) field.ErrorList {
	var errs field.ErrorList
	for i, f := range meta.GetFinalizers() {
		errs = append(errs, KubeFinalizer(f, field.NewPath("metadata", "finalizers").Index(i))...)
	}
	return errs
}

// KubeFinalizer is the rule of KubeFinalizers for one name.
func KubeFinalizer(name string, path *field.Path) field.ErrorList {
	switch name {
	case string(corev1.FinalizerKubernetes), metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents:
		return nil
	}
	if strings.Contains(name, "/") {
		return nil
	}
	return field.ErrorList{field.Invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified")}
}

// NodeName checks the name of a node.
func NodeName(name string, path *field.Path) field.ErrorList {
	return messages(path, name, apivalidation.NameIsDNSSubdomain(name, false))
}

// ResourceClaimName checks the name of a ResourceClaim.
func ResourceClaimName(name string, path *field.Path) field.ErrorList {
	return messages(path, name, apivalidation.NameIsDNSSubdomain(name, false))
}

// ServiceAccountName checks the name of a service account.
func ServiceAccountName(name string, path *field.Path) field.ErrorList {
	return messages(path, name, apivalidation.ValidateServiceAccountName(name, false))
}
