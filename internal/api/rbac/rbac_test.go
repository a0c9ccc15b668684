package rbac

import (
	"fmt"
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apitest"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		kind       *api.Kind
		body, want string
	}{
		{Roles(), `rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]`, ``},
		{Roles(), `rules: [{apiGroups: [""], resources: [pods]}]`, `rules[0].verbs: Required value`},
		{Roles(), `rules: [{verbs: [get]}]`, "rules[0].apiGroups: Required value: resource rules must supply at least one api group\nrules[0].resources: Required value: resource rules must supply at least one resource"},
		{Roles(), `rules: [{verbs: [get], nonResourceURLs: [/x]}]`, `rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs`},
		{ClusterRoles(), `rules: [{verbs: [get], nonResourceURLs: [/x]}]`, ``},
		{ClusterRoles(), `rules: [{verbs: [get], nonResourceURLs: [/x], resources: [pods]}]`, `rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs`},
		{ClusterRoles(), `aggregationRule: {}`, `aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil`},
		{RoleBindings(), `{roleRef: {kind: Role, name: r}, subjects: [{kind: User, name: u}, {kind: ServiceAccount, name: s, namespace: n}]}`, ``},
		{RoleBindings(), `{roleRef: {kind: X, apiGroup: g}}`, "roleRef.apiGroup: Unsupported value: \"g\": supported values: \"rbac.authorization.k8s.io\"\nroleRef.kind: Unsupported value: \"X\": supported values: \"Role\", \"ClusterRole\"\nroleRef.name: Required value"},
		{RoleBindings(), `{roleRef: {kind: Role, name: a/b}}`, `roleRef.name: Invalid value: "a/b": may not contain '/'`},
		{RoleBindings(), `{roleRef: {kind: Role, name: r}, subjects: [{kind: Robot}]}`, "subjects[0].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\"\nsubjects[0].name: Required value"},
		{ClusterRoleBindings(), `{roleRef: {kind: Role, name: r}}`, `roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"`},
		{ClusterRoleBindings(), `{roleRef: {kind: ClusterRole, name: r}, subjects: [{kind: ServiceAccount, name: s}]}`, `subjects[0].namespace: Required value`},
		{ClusterRoleBindings(), `{roleRef: {kind: ClusterRole, name: r}, subjects: [{kind: Group, name: g, apiGroup: z}]}`, `subjects[0].apiGroup: Unsupported value: "z": supported values: "rbac.authorization.k8s.io"`},
	} {
		obj := c.kind.New()
		if err := yaml.UnmarshalStrict([]byte(c.body), obj); err != nil {
			t.Fatal(err)
		}
		if c.kind.Default != nil {
			c.kind.Default(obj)
		}
		if got := apitest.Text(c.kind.Validate(obj)); got != c.want {
			t.Errorf("%s %s:\ngot  %s\nwant %s", c.kind.Kind, c.body, got, c.want)
		}
	}
	a := &rbacv1.RoleBinding{RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "a"}}
	b := a.DeepCopy()
	b.RoleRef.Name = "b"
	if got := apitest.Text(RoleBindings().ValidateUpdate(b, a)); !strings.Contains(got, "roleRef: Invalid value: ") || !strings.HasSuffix(got, "field is immutable") {
		t.Errorf("changed roleRef: %s", got)
	}
	if msgs := Roles().ValidateName("system:node", false); msgs != nil {
		t.Errorf("system:node: %v", msgs)
	}
}

func TestRow(t *testing.T) {
	b := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "b"}, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "r"},
		Subjects: []rbacv1.Subject{{Kind: "User", Name: "u"}, {Kind: "User", Name: "v"}, {Kind: "Group", Name: "g"}, {Kind: "ServiceAccount", Name: "s", Namespace: "n"}},
	}
	if got := fmt.Sprint(RoleBindings().Row(b)...); got != fmt.Sprint("b", "Role/r", b.CreationTimestamp, "u, v", "g", "n/s") {
		t.Error(got)
	}
}
