package bootstrap

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"sampan.dev/internal/api"
	"sampan.dev/internal/pki"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/auth/rbac/validation"
)

// rbacJSON is every role and binding of upstream v1.37.1 that carries kubernetes.io/bootstrapping=rbac-defaults, one a line,
// without the label, annotation and apiVersion that all of them have. Aggregated roles come with the rules that they
// aggregate to, which saves the controller a write at the first start.
//
//go:embed rbac.jsonl
var rbacJSON []byte

// rbacObjects parses it once. They are frozen.
var rbacObjects = sync.OnceValue(func() []api.Object {
	var out []api.Object
	for line := range bytes.Lines(rbacJSON) {
		var head struct{ Kind string }
		obj, err := api.Object(nil), json.Unmarshal(line, &head)
		if err == nil {
			switch head.Kind {
			case "ClusterRole":
				obj = &rbacv1.ClusterRole{}
			case "ClusterRoleBinding":
				obj = &rbacv1.ClusterRoleBinding{}
			case "Role":
				obj = &rbacv1.Role{}
			case "RoleBinding":
				obj = &rbacv1.RoleBinding{}
			}
			err = json.Unmarshal(line, obj)
		}
		if err != nil {
			panic(fmt.Sprintf("bootstrap: embedded rbac.jsonl: %v in %s", err, line))
		}
		labels := obj.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels["kubernetes.io/bootstrapping"] = "rbac-defaults"
		obj.SetLabels(labels)
		obj.SetAnnotations(map[string]string{rbacv1.AutoUpdateAnnotationKey: "true"})
		out = append(out, obj)
	}
	return append(append(out, kubeadmRBAC()...), nodeRBAC()...)
})

// NodeRules are the rules of system:node: what the Node authorizer grants every kubelet.
func NodeRules() []rbacv1.PolicyRule {
	for _, o := range rbacObjects() {
		if r, ok := o.(*rbacv1.ClusterRole); ok && r.Name == "system:node" {
			return r.Rules
		}
	}
	panic("bootstrap: rbac.jsonl has no system:node")
}

// RBACObjects are the default roles and bindings, for tests of what reads them. They are frozen.
func RBACObjects() []api.Object { return rbacObjects() }

// Groups that kubeadm binds.
const (
	clusterAdmins = "kubeadm:cluster-admins"
	// BootstrapGroup is the extra group of a token that nodes join with.
	BootstrapGroup = "system:bootstrappers:kubeadm:default-node-token"
)

// kubeadmRBAC is what kubeadm adds for its administrators and for nodes that join.
func kubeadmRBAC() []api.Object {
	group := func(name string) rbacv1.Subject {
		return rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: name}
	}
	bind := func(name, role string, to rbacv1.Subject) api.Object {
		return &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{to},
		}
	}
	const csr = "system:certificates.k8s.io:certificatesigningrequests:"
	return []api.Object{
		bind("kubeadm:cluster-admins", "cluster-admin", group(clusterAdmins)),
		bind("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", group(BootstrapGroup)),
		bind("kubeadm:node-autoapprove-bootstrap", csr+"nodeclient", group(BootstrapGroup)),
		bind("kubeadm:node-autoapprove-certificate-rotation", csr+"selfnodeclient", group(api.GroupNodes)),
		&rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: "kubeadm:get-nodes"},
			Rules:      []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"nodes"}}},
		},
		// Ours: whom the hub is to kubelets. Kubeadm makes it an administrator.
		bind("sampan:kubelet-client", "system:kubelet-api-admin", rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: pki.KubeletClientName}),
		bind("kubeadm:get-nodes", "kubeadm:get-nodes", group(BootstrapGroup)),
		// Ours: the approving controller approves serving certificates too (internal/control/identity).
		bind("sampan:kubelet-serving-approver", "system:certificates.k8s.io:kubelet-serving-approver",
			rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceSystem, Name: "certificate-controller"}),
		&rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespacePublic, Name: "kubeadm:bootstrap-signer-clusterinfo"},
			Rules: []rbacv1.PolicyRule{{
				Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"cluster-info"},
			}},
		},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespacePublic, Name: "kubeadm:bootstrap-signer-clusterinfo"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "kubeadm:bootstrap-signer-clusterinfo"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: api.UserAnonymous}},
		},
	}
}

// reconcile returns what have has to become so that it grants at least what want does, or nil when it does already. Objects
// annotated with autoupdate=false are left alone, as are those that somebody gave another role (recreate is true then:
// a binding's role cannot be changed).
func reconcile(have, want api.Object) (obj api.Object, recreate bool) {
	if have.GetAnnotations()[rbacv1.AutoUpdateAnnotationKey] == "false" {
		return nil, false
	}
	if asWanted(have, want) {
		return nil, false
	}
	out := have.DeepCopyObject().(api.Object)
	out.SetLabels(merge(want.GetLabels(), have.GetLabels()))
	out.SetAnnotations(merge(want.GetAnnotations(), have.GetAnnotations()))
	switch o := out.(type) {
	case *rbacv1.ClusterRole:
		w := want.(*rbacv1.ClusterRole)
		if w.AggregationRule == nil {
			o.Rules = unionRules(o.Rules, w.Rules)
			o.AggregationRule = nil
		} else {
			o.AggregationRule = unionAggregation(o.AggregationRule, w.AggregationRule)
		}
	case *rbacv1.Role:
		o.Rules = unionRules(o.Rules, want.(*rbacv1.Role).Rules)
	case *rbacv1.ClusterRoleBinding:
		w := want.(*rbacv1.ClusterRoleBinding)
		o.Subjects = unionSubjects(o.Subjects, w.Subjects)
		recreate = o.RoleRef != w.RoleRef
		o.RoleRef = w.RoleRef
	case *rbacv1.RoleBinding:
		w := want.(*rbacv1.RoleBinding)
		o.Subjects = unionSubjects(o.Subjects, w.Subjects)
		recreate = o.RoleRef != w.RoleRef
		o.RoleRef = w.RoleRef
	}
	if equality.Semantic.DeepEqual(out, have) {
		return nil, false
	}
	return out, recreate
}

// asWanted tells cheaply what is so at nearly every start: nothing has changed.
func asWanted(have, want api.Object) bool {
	if !holds(have.GetLabels(), want.GetLabels()) || !holds(have.GetAnnotations(), want.GetAnnotations()) {
		return false
	}
	switch h := have.(type) {
	case *rbacv1.ClusterRole:
		w := want.(*rbacv1.ClusterRole)
		if w.AggregationRule != nil {
			return equality.Semantic.DeepEqual(h.AggregationRule, w.AggregationRule)
		}
		return h.AggregationRule == nil && sameRules(h.Rules, w.Rules)
	case *rbacv1.Role:
		return sameRules(h.Rules, want.(*rbacv1.Role).Rules)
	case *rbacv1.ClusterRoleBinding:
		w := want.(*rbacv1.ClusterRoleBinding)
		return h.RoleRef == w.RoleRef && slices.Equal(h.Subjects, w.Subjects)
	case *rbacv1.RoleBinding:
		w := want.(*rbacv1.RoleBinding)
		return h.RoleRef == w.RoleRef && slices.Equal(h.Subjects, w.Subjects)
	}
	return false
}

func holds(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

func sameRules(a, b []rbacv1.PolicyRule) bool {
	return slices.EqualFunc(a, b, func(x, y rbacv1.PolicyRule) bool {
		return slices.Equal(x.Verbs, y.Verbs) && slices.Equal(x.APIGroups, y.APIGroups) && slices.Equal(x.Resources, y.Resources) &&
			slices.Equal(x.ResourceNames, y.ResourceNames) && slices.Equal(x.NonResourceURLs, y.NonResourceURLs)
	})
}

func unionRules(have, want []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	_, missing := validation.Covers(have, want)
	return append(have, missing...)
}

func unionAggregation(have, want *rbacv1.AggregationRule) *rbacv1.AggregationRule {
	if have == nil {
		have = &rbacv1.AggregationRule{}
	}
	for _, w := range want.ClusterRoleSelectors {
		if !slices.ContainsFunc(have.ClusterRoleSelectors, func(h metav1.LabelSelector) bool { return equality.Semantic.DeepEqual(h, w) }) {
			have.ClusterRoleSelectors = append(have.ClusterRoleSelectors, w)
		}
	}
	return have
}

func unionSubjects(have, want []rbacv1.Subject) []rbacv1.Subject {
	for _, w := range want {
		if !slices.Contains(have, w) {
			have = append(have, w)
		}
	}
	return have
}

// merge lays over upon under.
func merge(under, over map[string]string) map[string]string {
	if len(under) == 0 {
		return over
	}
	out := maps.Clone(under)
	maps.Copy(out, over)
	return out
}
