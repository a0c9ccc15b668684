package admit_test

import (
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A node has tokens of its proxy's account that are bound to itself, and of nobody else's and in no other form.
func TestANodeHasTokensForItsProxyOnly(t *testing.T) {
	h := newHub(t)
	ctx := t.Context()
	var nodes []*corev1.Node
	for _, name := range []string{"n1", "n2"} {
		n, err := client.Create(ctx, h.Root, client.Nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	for _, sa := range [][2]string{{"kube-system", "other"}, {"default", "kube-proxy"}} {
		if _, err := client.Create(ctx, h.Root, client.ServiceAccounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: sa[0], Name: sa[1]}}); err != nil {
			t.Fatal(err)
		}
	}
	h.Settle(t)
	hour, day := int64(3600), int64(86400)
	to := func(n *corev1.Node, change func(*authenticationv1.TokenRequestSpec)) *authenticationv1.TokenRequest {
		tr := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &hour,
			BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}}}
		if change != nil {
			change(&tr.Spec)
		}
		return tr
	}
	type spec = authenticationv1.TokenRequestSpec
	for _, c := range []struct {
		what, namespace, name string
		tr                    *authenticationv1.TokenRequest
		want                  string
	}{
		{"its own", "kube-system", "kube-proxy", to(nodes[0], nil), ""},
		{"another node's", "kube-system", "kube-proxy", to(nodes[1], nil), "bound to its own Node"},
		{"of a former Node", "kube-system", "kube-proxy", to(nodes[0], func(s *spec) { s.BoundObjectRef.UID = "former" }), "does not match the UID in record"},
		{"without uid", "kube-system", "kube-proxy", to(nodes[0], func(s *spec) { s.BoundObjectRef.UID = "" }), "with a uid"},
		{"unbound", "kube-system", "kube-proxy", to(nodes[0], func(s *spec) { s.BoundObjectRef = nil }), "not bound to a pod"},
		{"for others", "kube-system", "kube-proxy", to(nodes[0], func(s *spec) { s.Audiences = []string{"vault"} }), "for the API server"},
		{"for long", "kube-system", "kube-proxy", to(nodes[0], func(s *spec) { s.ExpirationSeconds = &day }), "for an hour"},
		{"of another account", "kube-system", "other", to(nodes[0], nil), "no relationship found"},
		{"of that name elsewhere", "default", "kube-proxy", to(nodes[0], nil), "no relationship found"},
	} {
		out, err := h.As(api.Node("n1")).Create(ctx, client.Ref{Resource: client.ServiceAccounts, Namespace: c.namespace, Name: c.name, Subresource: "token"}, c.tr, metav1.CreateOptions{})
		if c.want != "" {
			if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %s", c.what, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		who, ok, err := h.Tokens.Authenticate(ctx, out.(*authenticationv1.TokenRequest).Status.Token, nil)
		if err != nil || !ok || who.User.Name != "system:serviceaccount:kube-system:kube-proxy" {
			t.Fatalf("%v %v %v", who, ok, err)
		}
		proxy := h.As(who.User)
		for _, ref := range []client.Ref{{Resource: client.Nodes}, {Resource: client.Services}, {Resource: client.EndpointSlices}} {
			if _, err := proxy.List(ctx, ref, metav1.ListOptions{}); err != nil {
				t.Errorf("the proxy does not see: %v", err)
			}
		}
		for _, ref := range []client.Ref{{Resource: client.Secrets}, {Resource: client.Pods}, {Resource: client.ConfigMaps, Namespace: "kube-system"}} {
			if _, err := proxy.List(ctx, ref, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
				t.Errorf("the proxy sees %s: %v", ref.Resource.Resource, err)
			}
		}
	}
	// What the proxy sees is not for the node.
	for _, ref := range []client.Ref{{Resource: client.Nodes}, {Resource: client.EndpointSlices}, {Resource: client.EndpointSlices, Namespace: "kube-system"}} {
		if _, err := h.As(api.Node("n1")).List(ctx, ref, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("a node lists %s: %v", ref.Resource.Resource, err)
		}
		if _, err := h.As(api.Node("n1")).Watch(ctx, ref, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("a node watches %s: %v", ref.Resource.Resource, err)
		}
	}
	if _, err := client.Get[*corev1.Node](ctx, h.As(api.Node("n1")), client.Nodes, "", "n2"); !apierrors.IsForbidden(err) {
		t.Errorf("a node reads another: %v", err)
	}
	if _, err := client.Get[*corev1.Node](ctx, h.As(api.Node("n1")), client.Nodes, "", "n1"); err != nil {
		t.Error(err)
	}
}

// What others go by when they decide what is proved of a node is not the node's to write.
func TestANodeGrantsItselfNothing(t *testing.T) {
	h := newHub(t)
	ctx := t.Context()
	n1 := h.As(api.Node("n1"))
	grant := map[string]string{api.AnnotationServingNames: "kubernetes.default.svc"}
	for what, n := range map[string]*corev1.Node{
		"names":  {ObjectMeta: metav1.ObjectMeta{Name: "n1", Annotations: grant}},
		"range":  {ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Spec: corev1.NodeSpec{PodCIDR: "10.96.0.0/24", PodCIDRs: []string{"10.96.0.0/24"}}},
		"ranges": {ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Spec: corev1.NodeSpec{PodCIDRs: []string{"10.96.0.0/24"}}},
	} {
		if _, err := client.Create(ctx, n1, client.Nodes, n); !apierrors.IsForbidden(err) {
			t.Errorf("it registers with %s: %v", what, err)
		}
	}
	if _, err := client.Create(ctx, n1, client.Nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Annotations: map[string]string{"mine": "x"}}}); err != nil {
		t.Fatal(err)
	}
	ref := client.Ref{Resource: client.Nodes, Name: "n1"}
	for _, patch := range []map[string]any{
		{"metadata": map[string]any{"annotations": grant}},
		{"spec": map[string]any{"podCIDR": "10.96.0.0/24", "podCIDRs": []string{"10.96.0.0/24"}}},
	} {
		for _, sub := range []string{"", "status"} {
			ref.Subresource = sub
			_, err := client.MergePatch(ctx, n1, ref, patch)
			now, getErr := client.Get[*corev1.Node](ctx, h.Root, client.Nodes, "", "n1")
			if getErr != nil || now.Annotations[api.AnnotationServingNames] != "" || now.Spec.PodCIDR != "" {
				t.Errorf("%q %v: %v %v", sub, patch, err, now)
			}
		}
	}
	ref.Subresource = ""
	byAdmin := map[string]any{"metadata": map[string]any{"annotations": grant}, "spec": map[string]any{"podCIDR": "10.0.1.0/24", "podCIDRs": []string{"10.0.1.0/24"}}}
	if _, err := client.MergePatch(ctx, h.Root, ref, byAdmin); err != nil {
		t.Fatal(err)
	}
	if _, err := client.MergePatch(ctx, n1, ref, map[string]any{"metadata": map[string]any{"annotations": map[string]any{api.AnnotationServingNames: nil}}}); !apierrors.IsForbidden(err) {
		t.Errorf("it takes away what an administrator granted: %v", err)
	}
	if _, err := client.MergePatch(ctx, n1, ref, map[string]any{"metadata": map[string]any{"annotations": map[string]any{"mine": "y"}}}); err != nil {
		t.Errorf("its own annotations: %v", err)
	}
}
