package verb

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// What two checks of one field find is one cause; the same words about another field are another.
func TestInvalidTellsEachErrorOnce(t *testing.T) {
	a, b := field.NewPath("a"), field.NewPath("b")
	err := invalid(schema.GroupKind{Kind: "Pod"}, "p", field.ErrorList{field.Required(a, ""), field.Required(b, ""), field.Required(a, ""), field.Invalid(a, 1, "x")})
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		t.Fatal(err)
	}
	var got []string
	for _, c := range status.Status().Details.Causes {
		got = append(got, c.Field+" "+c.Message)
	}
	if want := []string{"a Required value", "b Required value", "a Invalid value: 1: x"}; len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("causes %q, want %q", got, want)
	}
}
