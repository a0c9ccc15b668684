package valid

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const notInteger = "must be an integer"

// NonNegativeQuantity checks q >= 0.
func NonNegativeQuantity(q resource.Quantity, path *field.Path) field.ErrorList {
	if q.Sign() < 0 {
		return Invalid(path, q.String(), apivalidation.IsNegativeErrorMsg)
	}
	return nil
}

// BasicQuantity checks q >= 0 in whole units, in the words of upstream's older rules.
func BasicQuantity(q resource.Quantity, path *field.Path) field.ErrorList {
	if q.Value() < 0 {
		return Invalid(path, q.Value(), "must be a valid resource quantity")
	}
	return nil
}

// PositiveQuantity checks q > 0.
func PositiveQuantity(q resource.Quantity, path *field.Path) field.ErrorList {
	if q.Sign() <= 0 {
		return Invalid(path, q.String(), notPositive)
	}
	return nil
}

// ResourceQuantity checks an amount of a resource: not negative, and whole where the resource cannot be split.
func ResourceQuantity(name corev1.ResourceName, q resource.Quantity, path *field.Path) field.ErrorList {
	errs := NonNegativeQuantity(q, path)
	if isIntegerResource(name) && q.MilliValue()%1000 != 0 {
		errs = append(errs, field.Invalid(path, q, notInteger))
	}
	return errs
}

// ResourceName checks the name of any resource, of containers or quotas.
func ResourceName(name corev1.ResourceName, path *field.Path) field.ErrorList {
	if errs := messages(path, name, validation.IsQualifiedName(string(name))); len(errs) > 0 {
		return errs
	}
	if !strings.Contains(string(name), "/") && !isStandardResource(name) {
		return Invalid(path, name, "must be a standard resource type or fully qualified")
	}
	return nil
}

// ContainerResourceName checks the name of a resource that a container may ask for.
func ContainerResourceName(name corev1.ResourceName, path *field.Path) field.ErrorList {
	errs := ResourceName(name, path)
	switch {
	case !strings.Contains(string(name), "/"):
		switch name {
		case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
			return errs
		}
		if !isHugePages(name) {
			errs = append(errs, field.Invalid(path, name, "must be a standard resource for containers"))
		}
	case !isNativeResource(name) && !IsExtendedResource(name):
		errs = append(errs, field.Invalid(path, name, "doesn't follow extended resource name standard"))
	}
	return errs
}

func isStandardResource(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage, corev1.ResourceRequestsCPU,
		corev1.ResourceRequestsMemory, corev1.ResourceRequestsEphemeralStorage, corev1.ResourceLimitsCPU,
		corev1.ResourceLimitsMemory, corev1.ResourceLimitsEphemeralStorage, corev1.ResourceStorage,
		corev1.ResourceRequestsStorage:
		return true
	}
	return isCountedObject(name) || isHugePages(name) || strings.HasPrefix(string(name), corev1.ResourceRequestsHugePagesPrefix)
}

// isCountedObject reports whether a quota counts objects under the name.
func isCountedObject(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers,
		corev1.ResourceSecrets, corev1.ResourceConfigMaps, corev1.ResourcePersistentVolumeClaims,
		corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers:
		return true
	}
	return false
}

func isIntegerResource(name corev1.ResourceName) bool {
	return isCountedObject(name) || IsExtendedResource(name)
}

func isHugePages(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

func isNativeResource(name corev1.ResourceName) bool {
	return !strings.Contains(string(name), "/") || strings.Contains(string(name), corev1.ResourceDefaultNamespacePrefix)
}

// IsExtendedResource reports whether name is a resource that devices or administrators add ("example.com/gpu").
func IsExtendedResource(name corev1.ResourceName) bool {
	if isNativeResource(name) || strings.HasPrefix(string(name), corev1.DefaultResourceRequestsPrefix) {
		return false
	}
	return len(validation.IsQualifiedName(corev1.DefaultResourceRequestsPrefix+string(name))) == 0
}

// MayOvercommit reports whether the requests of a resource may be below its limits.
func MayOvercommit(name corev1.ResourceName) bool {
	return isNativeResource(name) && !isHugePages(name)
}
