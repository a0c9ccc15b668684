package valid

import "k8s.io/apimachinery/pkg/util/validation/field"

// Ratchet removes from errs, the errors of an updated object, those that the old object already had. Rules get stricter
// from release to release; what was stored under laxer ones must stay possible to update. old is called only when there
// are errors.
func Ratchet(errs field.ErrorList, old func() field.ErrorList) field.ErrorList {
	if len(errs) == 0 {
		return nil
	}
	known := map[string]bool{}
	for _, e := range old() {
		known[e.Error()] = true
	}
	var left field.ErrorList
	for _, e := range errs {
		if !known[e.Error()] {
			left = append(left, e)
		}
	}
	return left
}
