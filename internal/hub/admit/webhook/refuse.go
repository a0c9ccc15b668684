package webhook

import (
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// refused is the error of a write that a webhook did not allow, made of what it said: a failure, whatever it called it.
func refused(hook string, said *metav1.Status) *apierrors.StatusError {
	s := metav1.Status{}
	if said != nil {
		s = *said
	}
	s.Code = max(s.Code, http.StatusBadRequest)
	if s.Status == "" || s.Status == metav1.StatusSuccess {
		s.Status = metav1.StatusFailure
	}
	by := fmt.Sprintf("admission webhook %q denied the request", hook)
	switch {
	case s.Message != "":
		s.Message = by + ": " + s.Message
	case s.Reason != "":
		s.Message = fmt.Sprintf("%s: %s", by, s.Reason)
	default:
		s.Message = by + " without explanation"
	}
	return &apierrors.StatusError{ErrStatus: s}
}
