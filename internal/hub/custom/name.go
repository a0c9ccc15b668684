package custom

import (
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api/apiextensions"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// names are what a definition calls its kind.
type names = apiextensionsv1.CustomResourceDefinitionNames

// taken are the names that the other definitions of a group have, by which requests find a resource or a kind.
type taken struct{ resources, kinds []string }

func (t *taken) add(n *names) {
	t.resources = append(append(t.resources, n.Plural, n.Singular), n.ShortNames...)
	t.kinds = append(t.kinds, n.Kind, n.ListKind)
}

// accept decides which of the names that a definition asks for it gets, and returns them with what conditions say of it. A name that
// another definition has stays with that one; the others are given all the same.
func accept(d *apiextensions.Definition, others taken) (names, apiextensions.Condition) {
	want, have := d.Spec.Names, d.Status.AcceptedNames
	got := have
	refused := apiextensions.Condition{}
	refuse := func(reason string, errs ...string) {
		refused.Reason, refused.Message = reason, strings.Join(errs, ", ")
		if len(errs) > 1 {
			refused.Message = "[" + refused.Message + "]"
		}
	}
	one := func(reason string, want, have string, to *string, used []string) {
		if want != have && slices.Contains(used, want) {
			refuse(reason, inUse(want))
			return
		}
		*to = want
	}
	one("PluralConflict", want.Plural, have.Plural, &got.Plural, others.resources)
	one("SingularConflict", want.Singular, have.Singular, &got.Singular, others.resources)
	var clashes []string
	for _, short := range want.ShortNames {
		if !slices.Contains(have.ShortNames, short) && slices.Contains(others.resources, short) && !slices.Contains(clashes, inUse(short)) {
			clashes = append(clashes, inUse(short))
		}
	}
	if len(clashes) > 0 {
		refuse("ShortNamesConflict", clashes...)
	} else {
		got.ShortNames = want.ShortNames
	}
	one("KindConflict", want.Kind, have.Kind, &got.Kind, others.kinds)
	one("ListKindConflict", want.ListKind, have.ListKind, &got.ListKind, others.kinds)
	got.Categories = want.Categories
	if refused.Reason != "" {
		refused.Type, refused.Status = apiextensionsv1.NamesAccepted, apiextensionsv1.ConditionFalse
		return got, refused
	}
	return got, apiextensions.Condition{
		Type: apiextensionsv1.NamesAccepted, Status: apiextensionsv1.ConditionTrue, Reason: "NoConflicts", Message: "no conflicts found",
	}
}

func inUse(name string) string { return fmt.Sprintf("%q is already in use", name) }
