package authorization

import (
	"strings"
	"testing"

	"sampan.dev/internal/api"

	"sigs.k8s.io/yaml"
)

func TestValidate(t *testing.T) {
	const both = `spec: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified`
	for _, c := range []struct {
		kind       *api.Kind
		body, want string
	}{
		{SelfSubjectAccessReviews(), `spec: {resourceAttributes: {verb: get, resource: pods}}`, ``},
		{SelfSubjectAccessReviews(), `spec: {}`, both},
		{SelfSubjectAccessReviews(), `{metadata: {name: x}, spec: {nonResourceAttributes: {path: /x}}}`, `must be empty`},
		{SelfSubjectAccessReviews(), `spec: {resourceAttributes: {fieldSelector: {}}}`, `spec.resourceAttributes.fieldSelector.requirements: Required value: when spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required`},
		{SelfSubjectAccessReviews(), `spec: {resourceAttributes: {labelSelector: {rawSelector: a=b, requirements: [{key: a, operator: Exists}]}}}`, `spec.resourceAttributes.labelSelector.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements`},
		{SubjectAccessReviews(), `spec: {user: u, nonResourceAttributes: {path: /x}}`, ``},
		{SubjectAccessReviews(), `spec: {nonResourceAttributes: {path: /x}}`, `spec.user: Invalid value: "": at least one of user or group must be specified`},
		{LocalSubjectAccessReviews(), `{metadata: {namespace: ns}, spec: {user: u, resourceAttributes: {namespace: ns}}}`, ``},
		{LocalSubjectAccessReviews(), `{metadata: {namespace: ns}, spec: {user: u, resourceAttributes: {namespace: other}}}`, `spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace`},
		{LocalSubjectAccessReviews(), `{metadata: {namespace: ns}, spec: {user: u, nonResourceAttributes: {path: /x}}}`, `disallowed on this kind of request`},
	} {
		obj := c.kind.New()
		if err := yaml.UnmarshalStrict([]byte(c.body), obj); err != nil {
			t.Fatal(err)
		}
		got := ""
		if errs := c.kind.Validate(obj); len(errs) > 0 {
			got = errs.ToAggregate().Error()
		}
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s %s: got %s", c.kind.Kind, c.body, got)
		}
	}
}
