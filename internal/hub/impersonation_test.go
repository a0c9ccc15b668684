package hub

import (
	"context"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/hub/authz"
)

// listed allows what it lists: "verb group resource/subresource name", with "*" for any name, and everything that is not about impersonation.
type listed []string

func (l listed) Authorize(_ context.Context, a authz.Attributes) (authz.Decision, string, error) {
	if !strings.HasPrefix(a.Verb, "impersonate") {
		return authz.Allow, "", nil
	}
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	for _, name := range []string{a.Name, "*"} {
		if slices.Contains(l, strings.Join([]string{a.Verb, a.Group, resource + a.Path, name}, " ")) {
			return authz.Allow, "", nil
		}
	}
	return authz.NoOpinion, "", nil
}

func TestConstrainedImpersonation(t *testing.T) {
	allowed := listed{}
	h := start(t, func(c *Config) { bare(c); c.Authorizer = &allowed })
	for i, c := range []struct {
		allowed listed
		headers []string
		code    int
		want    string // of the user, or of the message
	}{
		{nil, []string{"Impersonate-User: bob"}, 403, `cannot impersonate-on:user-info:get path "/whoami"`},
		{listed{"impersonate-on:user-info:get  /whoami *"}, []string{"Impersonate-User: bob"}, 403, `users.authentication.k8s.io "bob" is forbidden: User "jane" cannot impersonate:user-info resource "users" in API group "authentication.k8s.io" at the cluster scope`},
		{listed{"impersonate-on:user-info:get  /whoami *", "impersonate:user-info authentication.k8s.io users bob"}, []string{"Impersonate-User: bob"}, 404, ""},
		{listed{"impersonate-on:user-info:get  /whoami *", "impersonate:user-info authentication.k8s.io users bob"}, []string{"Impersonate-User: bob", "Impersonate-Group: g"}, 403, `groups.authentication.k8s.io "g" is forbidden`},
		{listed{"impersonate  users bob"}, []string{"Impersonate-User: bob"}, 404, ""},
		{listed{"impersonate-on:arbitrary-node:get  /whoami *", "impersonate:arbitrary-node authentication.k8s.io nodes n1"}, []string{"Impersonate-User: system:node:n1"}, 404, ""},
		{listed{"impersonate-on:user-info:get  /whoami *", "impersonate:user-info authentication.k8s.io users *"}, []string{"Impersonate-User: system:node:n1"}, 403, "impersonate-on:arbitrary-node:get"},
		{listed{"impersonate-on:serviceaccount:get  /whoami *", "impersonate:serviceaccount authentication.k8s.io serviceaccounts sa"}, []string{"Impersonate-User: system:serviceaccount:ns:sa"}, 404, ""},
	} {
		allowed = c.allowed
		user := "X-User: jane"
		a := do(h, "GET", "/whoami", "", append(c.headers, user)...)
		if a.code != c.code || c.want != "" && !strings.Contains(a.status(t).Message, c.want) {
			t.Errorf("%d: %d %s", i, a.code, a.body)
		}
	}
}
