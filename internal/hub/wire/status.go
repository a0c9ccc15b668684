package wire

import (
	"errors"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// StatusOf makes the Status that err is sent as; an error without a class becomes a 500.
func StatusOf(err error) *metav1.Status {
	var as apierrors.APIStatus
	var st metav1.Status
	if errors.As(err, &as) {
		st = as.Status()
	} else {
		st = metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonUnknown, Message: err.Error()}
	}
	if st.Status == "" {
		st.Status = metav1.StatusFailure
	}
	if st.Code == 0 {
		st.Code = http.StatusInternalServerError
	}
	st.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	return &st
}

// WriteError sends err.
func (o Output) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	st := StatusOf(err)
	if st.Details != nil && st.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(st.Details.RetryAfterSeconds)))
	}
	plain := o
	plain.Convert.Kind = ""
	if werr := plain.WriteValue(w, r, int(st.Code), st); werr != nil {
		http.Error(w, werr.Error(), http.StatusInternalServerError)
	}
}
