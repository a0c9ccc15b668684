package topology

import (
	"errors"
	"fmt"
)

// Rejected is an error that says under which reason a pod fails to be admitted.
type Rejected interface {
	error
	Reason() string
}

// affinityError says that a pod's resources lie too far apart for the policy.
type affinityError struct{ message string }

func (e affinityError) Error() string { return e.message }

func (affinityError) Reason() string { return "TopologyAffinityError" }

// Explain is what the status of a pod says that was refused for err. An error without a reason of its own was not expected.
func Explain(err error) (reason, message string) {
	var r Rejected
	if errors.As(err, &r) {
		return r.Reason(), r.Error()
	}
	return "UnexpectedAdmissionError", fmt.Sprintf("Allocate failed due to %v, which is unexpected", err)
}
