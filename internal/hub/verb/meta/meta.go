package meta

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var metadataPath = field.NewPath("metadata")

const (
	maxGeneratedBase = 63 - 5 // generated names stay DNS labels
	// NameAttempts is how often a name is generated before a create gives up.
	NameAttempts = 8
)

// Now is the time as it is stored: whole seconds.
func Now() metav1.Time { return metav1.Time{Time: time.Now().Truncate(time.Second)} }

// DryRun reads the dryRun option.
func DryRun(opts []string) bool { return len(opts) > 0 }

// GenerateName adds five characters of an alphabet without vowels to base.
func GenerateName(base string) string {
	if len(base) > maxGeneratedBase {
		base = base[:maxGeneratedBase]
	}
	return base + rand.String(5)
}

// WipeSystemFields clears what only the hub may set on a new object.
func WipeSystemFields(obj api.Object) {
	obj.SetCreationTimestamp(metav1.Time{})
	obj.SetUID("")
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	obj.SetSelfLink("")
}

// FillSystemFields gives a new object its identity.
func FillSystemFields(obj api.Object) {
	obj.SetCreationTimestamp(Now())
	obj.SetUID(uuid.NewUUID())
}

// SettleNamespace gives obj the namespace of the request and refuses another one.
func SettleNamespace(k *api.Kind, namespace string, obj api.Object) error {
	if !k.Namespaced {
		namespace = ""
	}
	switch have := obj.GetNamespace(); {
	case have == namespace:
	case have == "", namespace == "":
		obj.SetNamespace(namespace)
	default:
		return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	return nil
}

// CheckName refuses a body whose name or namespace is not that of the URL.
func CheckName(k *api.Kind, namespace, name string, obj api.Object) error {
	switch {
	case obj.GetName() == "":
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s based on URL) was undeterminable: name must be provided", name))
	case obj.GetName() != name:
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", obj.GetName(), name))
	case k.Namespaced && obj.GetNamespace() != "" && obj.GetNamespace() != namespace:
		return apierrors.NewBadRequest(fmt.Sprintf("the namespace of the object (%s) does not match the namespace on the request (%s)", obj.GetNamespace(), namespace))
	}
	return nil
}

// KeepSystemFields gives an update what it cannot change.
func KeepSystemFields(obj, old api.Object) {
	if obj.GetUID() == "" {
		obj.SetUID(old.GetUID())
	}
	if t := old.GetCreationTimestamp(); !t.IsZero() {
		obj.SetCreationTimestamp(t)
	}
	if !old.GetDeletionTimestamp().IsZero() {
		obj.SetDeletionTimestamp(old.GetDeletionTimestamp())
	}
	if old.GetDeletionGracePeriodSeconds() != nil && obj.GetDeletionGracePeriodSeconds() == nil {
		obj.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
	}
	obj.SetSelfLink("")
}

func nameRule(k *api.Kind) validation.ValidateNameFunc {
	if k.ValidateName != nil {
		return k.ValidateName
	}
	return validation.NameIsDNSSubdomain
}

// ValidateNew checks the metadata of a new object.
func ValidateNew(k *api.Kind, obj api.Object) field.ErrorList {
	return validation.ValidateObjectMetaAccessor(obj, k.Namespaced, nameRule(k), metadataPath)
}

// ValidateChange checks the metadata of an update; each complaint is made once.
func ValidateChange(k *api.Kind, obj, old api.Object) field.ErrorList {
	var errs field.ErrorList
	if sameMeta(obj, old) { // what was valid stays so
		if sameIdentity(obj, old) {
			return nil
		}
	} else {
		errs = validation.ValidateObjectMetaAccessor(obj, k.Namespaced, path.ValidatePathSegmentName, metadataPath)
	}
	for _, err := range validation.ValidateObjectMetaAccessorUpdate(obj, old, metadataPath) {
		if !slices.ContainsFunc(errs, func(e *field.Error) bool { return e.Error() == err.Error() }) {
			errs = append(errs, err)
		}
	}
	return errs
}

// sameMeta reports whether the metadata that people write is the same in both.
func sameMeta(a, b api.Object) bool {
	sameFields := func(a, b metav1.ManagedFieldsEntry) bool {
		return a.Manager == b.Manager && a.Operation == b.Operation && a.APIVersion == b.APIVersion && a.FieldsType == b.FieldsType &&
			a.Subresource == b.Subresource
	}
	return a.GetName() == b.GetName() && a.GetGenerateName() == b.GetGenerateName() && a.GetNamespace() == b.GetNamespace() &&
		maps.Equal(a.GetLabels(), b.GetLabels()) && maps.Equal(a.GetAnnotations(), b.GetAnnotations()) &&
		slices.Equal(a.GetFinalizers(), b.GetFinalizers()) && slices.EqualFunc(a.GetOwnerReferences(), b.GetOwnerReferences(), sameOwner) &&
		slices.EqualFunc(a.GetManagedFields(), b.GetManagedFields(), sameFields) && a.GetGeneration() >= b.GetGeneration()
}

// sameIdentity reports whether nothing differs that an update may not change, and the update says what it is of.
func sameIdentity(a, b api.Object) bool {
	made, old := a.GetCreationTimestamp(), b.GetCreationTimestamp()
	return a.GetResourceVersion() != "" && a.GetUID() == b.GetUID() && made.Equal(&old) &&
		a.GetDeletionTimestamp().Equal(b.GetDeletionTimestamp()) && samePtr(a.GetDeletionGracePeriodSeconds(), b.GetDeletionGracePeriodSeconds())
}

// DedupOwners drops repeated owner references, with upstream's warning.
func DedupOwners(obj api.Object, warn func(string), when string) {
	refs := obj.GetOwnerReferences()
	if len(refs) < 2 {
		return
	}
	var kept []metav1.OwnerReference
	var dropped []string
	for _, r := range refs {
		if slices.ContainsFunc(kept, func(k metav1.OwnerReference) bool { return sameOwner(k, r) }) {
			dropped = append(dropped, string(r.UID))
			continue
		}
		kept = append(kept, r)
	}
	if len(dropped) == 0 {
		return
	}
	warn(fmt.Sprintf(".metadata.ownerReferences contains duplicate entries%s; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: %v",
		when, strings.Join(dropped, ", ")))
	obj.SetOwnerReferences(kept)
}

func sameOwner(a, b metav1.OwnerReference) bool {
	return a.APIVersion == b.APIVersion && a.Kind == b.Kind && a.Name == b.Name && a.UID == b.UID &&
		samePtr(a.Controller, b.Controller) && samePtr(a.BlockOwnerDeletion, b.BlockOwnerDeletion)
}

func samePtr[T comparable](a, b *T) bool {
	return a == b || (a != nil && b != nil && *a == *b)
}
