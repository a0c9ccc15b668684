package admit_test

import (
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestEscalation(t *testing.T) {
	h := newHub(t)
	ctx := t.Context()
	rule := func(resource string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{resource}, Verbs: verbs}
	}
	grant := func(user string, rules ...rbacv1.PolicyRule) {
		t.Helper()
		r := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "of-" + user}, Rules: rules}
		if _, err := client.Create(ctx, h.Root, client.Roles, r); err != nil {
			t.Fatal(err)
		}
		b := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "of-" + user}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "of-" + user},
			Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: user}}}
		if _, err := client.Create(ctx, h.Root, client.RoleBindings, b); err != nil {
			t.Fatal(err)
		}
	}
	manage := rbacv1.PolicyRule{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "rolebindings"}, Verbs: []string{"create", "update", "get"}}
	grant("ann", manage, rule("pods", "get", "list"))
	grant("bob", manage, rbacv1.PolicyRule{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "clusterroles"}, Verbs: []string{"escalate", "bind"}})
	h.Settle(t)
	role := func(name string, rules ...rbacv1.PolicyRule) *rbacv1.Role {
		return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Rules: rules}
	}
	bind := func(name, kind, to string) *rbacv1.RoleBinding {
		return &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: to}}
	}
	ann, bob := h.As(api.User{Name: "ann", Groups: []string{"crew"}}), h.As(api.User{Name: "bob"})

	_, err := client.Create(ctx, ann, client.Roles, role("same", rule("pods", "get")))
	wantError(t, "what she has", err, "")
	_, err = client.Create(ctx, ann, client.Roles, role("more", rule("pods", "get", "delete"), rule("secrets", "get", "list")))
	wantError(t, "more than she has", err, `roles.rbac.authorization.k8s.io "more" is forbidden: user "ann" (groups=["crew"]) is attempting to grant RBAC permissions not currently held:
{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}
{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}`)
	_, err = client.Create(ctx, bob, client.Roles, role("more", rule("secrets", "get")))
	wantError(t, "who may escalate", err, "")

	_, err = client.Create(ctx, ann, client.RoleBindings, bind("b1", "Role", "same"))
	wantError(t, "binds what she has", err, "")
	_, err = client.Create(ctx, ann, client.RoleBindings, bind("b2", "Role", "more"))
	wantError(t, "binds more", err, `rolebindings.rbac.authorization.k8s.io "b2" is forbidden: user "ann" (groups=["crew"]) is attempting to grant RBAC permissions not currently held:
{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}`)
	_, err = client.Create(ctx, ann, client.RoleBindings, bind("b3", "ClusterRole", "nope"))
	wantError(t, "binds nothing", err, `clusterroles.rbac.authorization.k8s.io "nope" not found`)
	_, err = client.Create(ctx, bob, client.RoleBindings, bind("b4", "ClusterRole", "cluster-admin"))
	wantError(t, "who may bind", err, "")

	// The collector may take a role apart that nobody but an administrator could write.
	more, err := client.Get[*rbacv1.Role](ctx, h.Root, client.Roles, "default", "more")
	if err != nil {
		t.Fatal(err)
	}
	more = more.DeepCopy()
	more.Finalizers = []string{"example.org/x"}
	_, err = client.Update(ctx, ann, client.Roles, more)
	wantError(t, "finalizers only", err, "")
}

func TestCertificateRequests(t *testing.T) {
	h := newHub(t)
	ctx := t.Context()
	cluster := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "approver"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"certificatesigningrequests", "certificatesigningrequests/approval", "certificatesigningrequests/status"}, Verbs: []string{"*"}},
		{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"signers"}, ResourceNames: []string{"example.org/*"}, Verbs: []string{"approve", "sign"}},
	}}
	if _, err := client.Create(ctx, h.Root, client.ClusterRoles, cluster); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(ctx, h.Root, client.ClusterRoleBindings, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "approver"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "approver"}, Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "ann"}}}); err != nil {
		t.Fatal(err)
	}
	h.Settle(t)
	ann := h.As(api.User{Name: "ann", UID: "u", Groups: []string{"crew"}, Extra: map[string][]string{"k": {"v"}}})
	_, err := client.Create(ctx, ann, client.CSRs, newRequest(t, "masters", "kubernetes.io/kube-apiserver-client", "system:masters"))
	wantError(t, "masters", err, `certificatesigningrequests.certificates.k8s.io "masters" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed`)
	for _, c := range []struct{ name, signer, want string }{
		{"theirs", "example.org/x", ""},
		{"ours", "kubernetes.io/kube-apiserver-client", `certificatesigningrequests.certificates.k8s.io "ours" is forbidden: user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"`},
	} {
		made, err := client.Create(ctx, ann, client.CSRs, newRequest(t, c.name, c.signer, "crew"))
		if err != nil {
			t.Fatal(err)
		}
		if made.Spec.Username != "ann" || made.Spec.UID != "u" || made.Spec.Groups[0] != "crew" || made.Spec.Extra["k"][0] != "v" {
			t.Errorf("%v", made.Spec)
		}
		made = made.DeepCopy()
		made.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "r"}}
		_, err = ann.Update(ctx, client.Ref{Resource: client.CSRs, Name: c.name, Subresource: "approval"}, made, metav1.UpdateOptions{})
		wantError(t, c.name, err, c.want)
	}
}
