package verb

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/cache"
	"sampan.dev/internal/hub/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// What clients read; the wording is upstream's.
const (
	staleMessage          = "the object has been modified; please apply your changes to the latest version and try again"
	listExpired           = "The resourceVersion for the provided list is too old."
	watchExpired          = "The resourceVersion for the provided watch is too old."
	continueInconsistent  = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list."
	tooLargeRevisionCause = "Too large resource version"
)

// storeError turns what is not an answer about a key into an error that can be sent.
func storeError(err error) error {
	var status apierrors.APIStatus
	switch {
	case err == nil, errors.As(err, &status):
		return err
	case errors.Is(err, store.ErrTooLarge):
		return apierrors.NewRequestEntityTooLargeError("the object is too large to be stored")
	case errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewTimeoutError("request did not complete within the allowed duration", 0)
	case errors.Is(err, context.Canceled):
		return apierrors.NewTimeoutError("request was canceled", 0)
	case errors.Is(err, store.ErrDamaged):
		return unreadable(err)
	case errors.Is(err, store.ErrFull):
		return full(err)
	case errors.Is(err, cache.ErrGone), errors.Is(err, cache.ErrReplaced):
		return gone(err)
	case errors.Is(err, store.ErrUnready):
		return apierrors.NewServiceUnavailable(err.Error())
	}
	return apierrors.NewInternalError(err)
}

// unreadable is the 500 of an object whose stored bytes are damaged; err names its key and revision. The reason is upstream's.
func unreadable(err error) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonStoreReadError,
		Message: fmt.Sprintf("failed to read the object from the storage: %v; it can be deleted", err),
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: metav1.CauseTypeUnexpectedServerResponse, Message: err.Error()}}},
	}}
}

// full is the 503 of a write that the store has no room for. Nothing was written, so that clients may be told to try again,
// which those on client-go do by themselves.
func full(err error) error {
	e := apierrors.NewServiceUnavailable(err.Error())
	e.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
	return e
}

// How many errors of an object are told, and of how much text: the library that joins them copies what it has for each further
// one, which takes minutes for tens of thousands.
const (
	maxErrors    = 500
	maxErrorText = 128 << 10
)

// invalid is the 422 of an object that does not hold. What two checks find is told once.
func invalid(gk schema.GroupKind, name string, errs field.ErrorList) error {
	errs = once(errs)
	text := 0
	for i, e := range errs {
		if text += len(e.Error()); i > 0 && (i == maxErrors || text > maxErrorText) {
			more := &field.Error{Type: field.ErrorTypeInternal, Detail: fmt.Sprintf("and %d more errors", len(errs)-i)}
			errs = append(errs[:i:i], more)
			break
		}
	}
	return apierrors.NewInvalid(gk, name, errs)
}

// once leaves out errors that read like one before them.
func once(errs field.ErrorList) field.ErrorList {
	seen := make(map[string]bool, len(errs))
	out := errs[:0:0]
	for _, e := range errs {
		if text := e.Error(); !seen[text] {
			seen[text] = true
			out = append(out, e)
		}
	}
	return out
}

// unknownError is a 500 without a reason, as upstream sends errors that it has no class for.
func unknownError(message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: 500, Reason: metav1.StatusReasonUnknown, Message: message}}
}

// tooLargeRevision is the 504 that tells a client that this hub has not yet seen the revision it names.
func tooLargeRevision(want, current int64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", want, current), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: tooLargeRevisionCause}}
	return err
}

// preconditionFailed is the 409 of a write that names a UID or resourceVersion that is not there.
func preconditionFailed(k *api.Kind, key, name, what, want, have string) error {
	return apierrors.NewConflict(k.GR(), name, fmt.Errorf(
		"StorageError: invalid object, Code: 4, Key: %s, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: %s in precondition: %v, %s in object meta: %v",
		key, what, want, what, have))
}

// namedKey is how messages about preconditions name a key: upstream's dry run ends before the store adds its prefix.
func namedKey(key string, dry bool) string {
	if dry {
		return strings.TrimPrefix(key, "/registry")
	}
	return key
}

// checkPreconditions compares an update's or binding's preconditions with what is stored; old is nil when nothing is.
func checkPreconditions(k *api.Kind, key, name string, uid types.UID, old api.Object) error {
	if uid == "" {
		return nil
	}
	var have types.UID
	if old != nil {
		have = old.GetUID()
	}
	if have != uid {
		return preconditionFailed(k, key, name, "UID", string(uid), string(have))
	}
	return nil
}

// NotServed is the 404 for a resource that is not served at all, or no longer.
func NotServed(r schema.GroupVersionResource) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: "the server could not find the requested resource",
		Details: &metav1.StatusDetails{Group: r.Group, Kind: r.Resource},
	}}
}

// gone is why a watch ends whose kind is no longer served. Clients list again when they are told so, and find it out.
func gone(err error) error { return apierrors.NewGone(err.Error()) }
