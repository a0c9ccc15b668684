package admissionregistration

import (
	"strings"

	"sampan.dev/internal/api"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// staticSuffix ends names that are kept for what a server reads from its own files.
const staticSuffix = ".static.k8s.io"

const staticTaken = `names ending with "` + staticSuffix + `" are reserved for static manifest-based configurations and cannot be managed via the API`

// kind is what the kinds of the group have in common: none is in a namespace, and a write says which version it is of.
func kind(name, resource, singular string) *api.Kind {
	return &api.Kind{
		Group: admissionv1.GroupName, Version: "v1", Kind: name, Resource: resource, Singular: singular,
		Categories: []string{"api-extensions"},
	}
}

// checkName refuses a new object with a name that is kept for files. One that is there already is only warned about.
func checkName(obj api.Object) field.ErrorList {
	if !strings.HasSuffix(obj.GetName(), staticSuffix) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "name"), obj.GetName(), staticTaken)}
}

func warnName(obj, old api.Object) []string {
	if old == nil || !strings.HasSuffix(obj.GetName(), staticSuffix) {
		return nil
	}
	return []string{"metadata.name: " + staticTaken}
}

// paramCell shows the kind of a policy's parameters.
func paramCell(p *admissionv1.ParamKind) string {
	if p == nil {
		return "<unset>"
	}
	return p.APIVersion + "/" + p.Kind
}

// refCell shows which parameters a binding names. Whether these are in namespaces it does not say.
func refCell(r *admissionv1.ParamRef) string {
	switch {
	case r == nil:
		return "<unset>"
	case r.Name != "" && r.Namespace != "":
		return r.Namespace + "/" + r.Name
	case r.Name != "":
		return "*/" + r.Name
	case r.Selector != nil:
		return r.Selector.String()
	}
	return "<unset>"
}
