package authz_test

import (
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/hubtest"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDefaultRoles(t *testing.T) {
	h := hubtest.New(t)
	h.Boot(t)
	ctx := t.Context()
	for _, b := range []*rbacv1.RoleBinding{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "viewers"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
			Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "ann"}, {Kind: "ServiceAccount", Name: "robot"}}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "broken"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "nope"},
			Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "bob"}}},
	} {
		if _, err := client.Create(ctx, h.Root, client.RoleBindings, b); err != nil {
			t.Fatal(err)
		}
	}
	h.Settle(t)

	user := func(name string, groups ...string) api.User { return api.User{Name: name, Groups: groups} }
	for _, c := range []struct {
		name   string
		a      authz.Attributes
		want   authz.Decision
		reason string
	}{
		{"admin certificate", authz.Attributes{User: user("kubernetes-admin", "kubeadm:cluster-admins"), Verb: "delete", Resource: "nodes", Name: "x"},
			authz.Allow, `RBAC: allowed by ClusterRoleBinding "kubeadm:cluster-admins" of ClusterRole "cluster-admin" to Group "kubeadm:cluster-admins"`},
		{"masters", authz.Attributes{User: user("x", "system:masters"), Verb: "anything", Path: "/metrics"}, authz.Allow, ""},
		{"health", authz.Attributes{User: user("system:anonymous"), Verb: "get", Path: "/readyz"}, authz.Allow, ""},
		{"version, anonymous", authz.Attributes{User: user("system:anonymous", "system:unauthenticated"), Verb: "get", Path: "/version"}, authz.Allow, "*"},
		{"metrics, authenticated", authz.Attributes{User: user("u", "system:authenticated"), Verb: "get", Path: "/metrics"}, authz.NoOpinion, ""},
		{"discovery", authz.Attributes{User: user("u", "system:authenticated"), Verb: "get", Path: "/apis/apps/v1"}, authz.Allow, "*"},
		{"view reads pods", authz.Attributes{User: user("ann"), Verb: "list", Resource: "pods", Namespace: "default"}, authz.Allow,
			`RBAC: allowed by RoleBinding "viewers/default" of ClusterRole "view" to User "ann"`},
		{"view reads logs", authz.Attributes{User: user("ann"), Verb: "get", Resource: "pods", Subresource: "log", Name: "p", Namespace: "default"}, authz.Allow, "*"},
		{"view reads no secrets", authz.Attributes{User: user("ann"), Verb: "get", Resource: "secrets", Name: "s", Namespace: "default"}, authz.NoOpinion, ""},
		{"view ends at the namespace", authz.Attributes{User: user("ann"), Verb: "list", Resource: "pods", Namespace: "kube-system"}, authz.NoOpinion, ""},
		{"view is not cluster wide", authz.Attributes{User: user("ann"), Verb: "list", Resource: "pods"}, authz.NoOpinion, ""},
		{"service account", authz.Attributes{User: api.ServiceAccount("default", "robot", ""), Verb: "watch", Resource: "services", Namespace: "default"}, authz.Allow,
			`RBAC: allowed by RoleBinding "viewers/default" of ClusterRole "view" to ServiceAccount "robot/default"`},
		{"its namesake elsewhere", authz.Attributes{User: api.ServiceAccount("kube-system", "robot", ""), Verb: "watch", Resource: "services", Namespace: "default"}, authz.NoOpinion, ""},
		{"dangling role", authz.Attributes{User: user("bob"), Verb: "get", Resource: "pods", Namespace: "default"}, authz.NoOpinion,
			`rbac: RBAC: clusterrole.rbac.authorization.k8s.io "nope" not found`},
		{"leader lease", authz.Attributes{User: user("system:kube-scheduler"), Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Name: "kube-scheduler", Namespace: "kube-system"}, authz.Allow, "*"},
		{"another namespace", authz.Attributes{User: user("system:kube-scheduler"), Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Name: "other", Namespace: "default"}, authz.NoOpinion, ""},
		{"controller scales anything", authz.Attributes{User: api.ServiceAccount("kube-system", "horizontal-pod-autoscaler", ""), Verb: "update", Group: "apps", Resource: "deployments", Subresource: "scale", Namespace: "a", Name: "b"}, authz.Allow, "*"},
		{"bootstrapper makes requests", authz.Attributes{User: user("system:bootstrap:abcdef", "system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"), Verb: "create", Group: "certificates.k8s.io", Resource: "certificatesigningrequests"}, authz.Allow, "*"},
		{"and nothing else", authz.Attributes{User: user("system:bootstrap:abcdef", "system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"), Verb: "list", Resource: "secrets"}, authz.NoOpinion, ""},
	} {
		d, reason, err := h.Authz.Authorize(ctx, c.a)
		if err != nil || d != c.want || c.reason != "*" && reason != c.reason {
			t.Errorf("%s: %v %q %v, want %v %q", c.name, d, reason, err, c.want, c.reason)
		}
	}
	_, err := h.As(user("ann")).List(ctx, client.Ref{Resource: client.Pods}, metav1.ListOptions{})
	if want := `pods is forbidden: User "ann" cannot list resource "pods" in API group "" at the cluster scope`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}

	// A binding that goes takes its rights with it.
	if err := client.Delete(ctx, h.Root, client.RoleBindings, "default", "viewers", ""); err != nil {
		t.Fatal(err)
	}
	hubtest.Eventually(t, func() bool {
		d, _, _ := h.Authz.Authorize(ctx, authz.Attributes{User: user("ann"), Verb: "list", Resource: "pods", Namespace: "default"})
		return d == authz.NoOpinion
	})
}

func TestCovers(t *testing.T) {
	h := hubtest.New(t)
	h.Boot(t)
	err := h.Authz.RBAC.Covers(api.User{Name: "ann", Groups: []string{"a", "system:authenticated"}}, "default", []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list"}},
		{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"selfsubjectaccessreviews"}, Verbs: []string{"create"}},
		{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}},
	})
	want := `user "ann" (groups=["a" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:
{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}
{NonResourceURLs:["/metrics"], Verbs:["get"]}`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if err := h.Authz.RBAC.CoversEverything(api.User{Name: "x", Groups: []string{"kubeadm:cluster-admins"}}, ""); err != nil {
		t.Error(err)
	}
}

func TestNode(t *testing.T) {
	h := hubtest.New(t)
	h.Boot(t)
	ctx := t.Context()
	mirror := pod("mirror", "n1")
	mirror.Spec.Volumes = nil
	mirror.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	mirror.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "stolen"}}}}
	n := authz.NewNode(nil, nil, nil)
	n.Learn(nil, pod("p", "n1"))
	n.Learn(nil, pod("q", ""))
	n.Learn(nil, mirror)
	node := func(name string) api.User { return api.Node(name) }
	check := func(name string, a authz.Attributes, want authz.Decision, reason string) {
		t.Helper()
		if d, r, err := n.Authorize(ctx, a); d != want || r != reason || err != nil {
			t.Errorf("%s: %v %q %v, want %v %q", name, d, r, err, want, reason)
		}
	}
	secret := func(u api.User, verb, name string) authz.Attributes {
		return authz.Attributes{User: u, Verb: verb, Resource: "secrets", Namespace: "default", Name: name}
	}
	const foreign = "no relationship found between node 'n1' and this object"
	check("secret of a volume", secret(node("n1"), "get", "vol"), authz.Allow, "")
	check("watched singly", secret(node("n1"), "watch", "vol"), authz.Allow, "")
	check("secret of env", secret(node("n1"), "get", "env"), authz.Allow, "")
	check("pull secret", secret(node("n1"), "get", "pull"), authz.Allow, "")
	check("named by a mirror pod", secret(node("n1"), "get", "stolen"), authz.NoOpinion, foreign)
	check("another secret", secret(node("n1"), "get", "other"), authz.NoOpinion, foreign)
	check("another node", secret(node("n2"), "get", "vol"), authz.NoOpinion, "no relationship found between node 'n2' and this object")
	check("all secrets", secret(node("n1"), "list", ""), authz.NoOpinion, "No Object name found")
	check("writing one", secret(node("n1"), "update", "vol"), authz.NoOpinion, "can only read resources of this type")
	check("nameless node", secret(api.User{Name: "system:node:", Groups: []string{"system:nodes"}}, "get", "vol"), authz.NoOpinion, `unknown node for user "system:node:"`)
	check("not a node", secret(api.User{Name: "system:node:n1"}, "get", "vol"), authz.NoOpinion, "")
	check("token", authz.Attributes{User: node("n1"), Verb: "create", Resource: "serviceaccounts", Subresource: "token", Namespace: "default", Name: "sa"}, authz.Allow, "")
	check("own node", authz.Attributes{User: node("n1"), Verb: "watch", Resource: "nodes", Name: "n1"}, authz.Allow, "")
	check("all nodes", authz.Attributes{User: node("n1"), Verb: "list", Resource: "nodes"}, authz.NoOpinion, "node 'n1' cannot read all nodes, only its own Node object")
	check("own pods", authz.Attributes{User: node("n1"), Verb: "watch", Resource: "pods", FieldSelector: "spec.nodeName=n1"}, authz.Allow, "")
	check("others' pods", authz.Attributes{User: node("n1"), Verb: "watch", Resource: "pods", FieldSelector: "spec.nodeName!=n1"}, authz.NoOpinion, "can only list/watch pods with spec.nodeName field selector")
	check("own lease", authz.Attributes{User: node("n1"), Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Namespace: "kube-node-lease", Name: "n1"}, authz.Allow, "")
	check("another lease", authz.Attributes{User: node("n1"), Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Namespace: "kube-node-lease", Name: "n2"}, authz.NoOpinion, "can only access node lease with the same name as the requesting node")

	n.Learn(pod("p", "n1"), nil)
	check("after the pod is gone", secret(node("n1"), "get", "vol"), authz.NoOpinion, foreign)

	// What is not subdivided follows system:node's rules.
	if d, _, _ := h.Authz.Authorize(ctx, authz.Attributes{User: node("n1"), Verb: "list", Resource: "services"}); d != authz.Allow {
		t.Error("a node may not list services")
	}
	if d, _, _ := h.Authz.Authorize(ctx, authz.Attributes{User: node("n1"), Verb: "delete", Resource: "services", Name: "x", Namespace: "default"}); d != authz.NoOpinion {
		t.Error("a node may delete services")
	}
	if _, incomplete, err := h.Authz.Rules(node("n1"), "default"); !incomplete || !strings.Contains(err.Error(), "does not support user rule resolution") {
		t.Errorf("rules of a node: %v %v", incomplete, err)
	}
}

func pod(name, node string) *corev1.Pod {
	ref := corev1.LocalObjectReference{}
	at := func(n string) corev1.LocalObjectReference { ref.Name = n; return ref }
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: "1"},
		Spec: corev1.PodSpec{
			NodeName: node, ServiceAccountName: "sa", ImagePullSecrets: []corev1.LocalObjectReference{at("pull")},
			Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "vol"}}}},
			Containers: []corev1.Container{{Name: "c", Env: []corev1.EnvVar{{Name: "E", ValueFrom: &corev1.EnvVarSource{
				SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: at("env"), Key: "k"}}}}}},
		},
	}
}

func BenchmarkAuthorize(b *testing.B) {
	h := hubtest.New(b)
	h.Boot(b)
	a := authz.Attributes{User: api.ServiceAccount("kube-system", "replicaset-controller", "x"), Verb: "create", Resource: "pods", Namespace: "default"}
	for b.Loop() {
		if d, _, _ := h.Authz.Authorize(b.Context(), a); d != authz.Allow {
			b.Fatal(d)
		}
	}
}
