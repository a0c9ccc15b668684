package bootstrap_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/bootstrap"
	"sampan.dev/internal/hub/hubtest"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestEnsure(t *testing.T) {
	h := hubtest.New(t)
	ctx := t.Context()
	bootstrap.RBACObjects()
	start := time.Now()
	if err := bootstrap.Ensure(ctx, h.Root, h.Bootstrap); err != nil {
		t.Fatal(err)
	}
	t.Logf("first start: %v", time.Since(start))
	start = time.Now()
	before := revision(t, h)
	if err := bootstrap.Ensure(ctx, h.Root, h.Bootstrap); err != nil {
		t.Fatal(err)
	}
	t.Logf("second start: %v", time.Since(start))
	if after := revision(t, h); after != before {
		t.Errorf("a second start wrote: revision %s, then %s", before, after)
	}
	want := map[schema.GroupVersionResource]int{
		client.Namespaces: 4, client.PriorityClasses: 2, client.Services: 2, client.EndpointSlices: 1, client.EndpointsResource: 1,
	}
	for _, o := range bootstrap.RBACObjects() {
		switch o.(type) {
		case *rbacv1.ClusterRole:
			want[client.ClusterRoles]++
		case *rbacv1.ClusterRoleBinding:
			want[client.ClusterRoleBindings]++
		case *rbacv1.Role:
			want[client.Roles]++
		case *rbacv1.RoleBinding:
			want[client.RoleBindings]++
		}
	}
	if want[client.ClusterRoles] < 73 || want[client.ClusterRoleBindings] < 54 || want[client.Roles] < 7 || want[client.RoleBindings] < 7 {
		t.Errorf("upstream has more: %v", want)
	}
	for res, n := range want {
		l, err := h.Root.List(ctx, client.Ref{Resource: res}, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(l.Items) != n {
			t.Errorf("%s: %d, want %d", res.Resource, len(l.Items), n)
		}
	}
	svc, err := client.Get[*corev1.Service](ctx, h.Root, client.Services, "default", "kubernetes")
	if err != nil || svc.Spec.ClusterIP != "10.96.0.1" || svc.Spec.Ports[0].TargetPort.IntVal != 6443 {
		t.Errorf("%v %v", svc, err)
	}
}

// revision is that of a list, which is the store's.
func revision(t *testing.T, h *hubtest.Hub) string {
	l, err := h.Root.List(t.Context(), client.Ref{Resource: client.Namespaces}, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return l.ResourceVersion
}

func TestEnsureReconcilesRoles(t *testing.T) {
	h := hubtest.New(t)
	h.Boot(t)
	ctx := t.Context()
	change := func(name string, fn func(*rbacv1.ClusterRole)) {
		r, err := client.Get[*rbacv1.ClusterRole](ctx, h.Root, client.ClusterRoles, "", name)
		if err != nil {
			t.Fatal(err)
		}
		r = r.DeepCopy()
		fn(r)
		if _, err := client.Update(ctx, h.Root, client.ClusterRoles, r); err != nil {
			t.Fatal(err)
		}
	}
	get := func(name string) *rbacv1.ClusterRole {
		r, err := client.Get[*rbacv1.ClusterRole](ctx, h.Root, client.ClusterRoles, "", name)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	extra := rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{"x"}, Resources: []string{"y"}}
	full := len(get("system:basic-user").Rules)
	change("system:basic-user", func(r *rbacv1.ClusterRole) { r.Rules = []rbacv1.PolicyRule{extra} })
	change("system:heapster", func(r *rbacv1.ClusterRole) {
		r.Rules, r.Annotations[rbacv1.AutoUpdateAnnotationKey] = nil, "false"
	})
	crb, err := client.Get[*rbacv1.ClusterRoleBinding](ctx, h.Root, client.ClusterRoleBindings, "", "system:basic-user")
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Delete(ctx, h.Root, client.ClusterRoleBindings, "", crb.Name, ""); err != nil {
		t.Fatal(err)
	}
	other := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: crb.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
	}
	if _, err := client.Create(ctx, h.Root, client.ClusterRoleBindings, other); err != nil {
		t.Fatal(err)
	}

	if err := bootstrap.Ensure(ctx, h.Root, h.Bootstrap); err != nil {
		t.Fatal(err)
	}
	if r := get("system:basic-user"); len(r.Rules) < full+1 || r.Rules[0].Resources[0] != "y" {
		t.Errorf("missing rules were not added, or the extra one was dropped: %v", r.Rules)
	}
	if r := get("system:heapster"); len(r.Rules) != 0 {
		t.Error("a protected role was changed")
	}
	crb, err = client.Get[*rbacv1.ClusterRoleBinding](ctx, h.Root, client.ClusterRoleBindings, "", crb.Name)
	if err != nil || crb.RoleRef.Name != "system:basic-user" || len(crb.Subjects) != 1 {
		t.Errorf("%v %v", crb, err)
	}
}

func TestRunKeepsKubernetesService(t *testing.T) {
	h := hubtest.New(t)
	h.Boot(t)
	ctx := t.Context()
	done := make(chan error, 1)
	go func() { done <- bootstrap.Run(ctx, h.Root, h.Bootstrap, slog.New(slog.DiscardHandler)) }()
	time.Sleep(50 * time.Millisecond)
	ep, err := client.Get[*corev1.Endpoints](ctx, h.Root, client.EndpointsResource, "default", "kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	ep = ep.DeepCopy()
	ep.Subsets[0].Addresses[0].IP = "192.0.2.9"
	if _, err := client.Update(ctx, h.Root, client.EndpointsResource, ep); err != nil {
		t.Fatal(err)
	}
	if err := client.Delete(ctx, h.Root, client.EndpointSlices, "default", "kubernetes", ""); err != nil {
		t.Fatal(err)
	}
	hubtest.Eventually(t, func() bool {
		ep, err := client.Get[*corev1.Endpoints](ctx, h.Root, client.EndpointsResource, "default", "kubernetes")
		_, err2 := h.Root.Get(ctx, client.Ref{Resource: client.EndpointSlices, Namespace: "default", Name: "kubernetes"}, metav1.GetOptions{})
		return err == nil && err2 == nil && ep.Subsets[0].Addresses[0].IP == "192.0.2.1"
	})
}

func TestDefaultsAuthorize(t *testing.T) {
	h := hubtest.New(t)
	h.Boot(t)
	if d, reason, err := h.Authz.Authorize(t.Context(), question(api.User{Name: "system:kube-scheduler"}, "create", "", "pods", "binding")); d != authz.Allow || err != nil {
		t.Errorf("%v %s %v", d, reason, err)
	}
}

func question(u api.User, verb, group, resource, sub string) authz.Attributes {
	return authz.Attributes{User: u, Verb: verb, Group: group, Resource: resource, Subresource: sub, Namespace: "default"}
}

// A hub that is reached at another address says so wherever it says where it is.
func TestRunFollowsTheAddress(t *testing.T) {
	h := hubtest.New(t)
	h.Boot(t)
	ctx := t.Context()
	moved := make(chan netip.AddrPort)
	cfg := h.Bootstrap
	cfg.Moved = moved
	done := make(chan error, 1)
	go func() { done <- bootstrap.Run(ctx, h.Root, cfg, slog.New(slog.DiscardHandler)) }()
	for _, to := range []string{"198.51.100.7:6443", "192.0.2.1:7443"} {
		moved <- netip.MustParseAddrPort(to)
		host, port, _ := strings.Cut(to, ":")
		hubtest.Eventually(t, func() bool {
			ep, err := client.Get[*corev1.Endpoints](ctx, h.Root, client.EndpointsResource, "default", "kubernetes")
			sl, err2 := client.Get[*discoveryv1.EndpointSlice](ctx, h.Root, client.EndpointSlices, "default", "kubernetes")
			svc, err3 := client.Get[*corev1.Service](ctx, h.Root, client.Services, "default", "kubernetes")
			info, err4 := client.Get[*corev1.ConfigMap](ctx, h.Root, client.ConfigMaps, "kube-public", "cluster-info")
			return errors.Join(err, err2, err3, err4) == nil &&
				ep.Subsets[0].Addresses[0].IP == host && fmt.Sprint(ep.Subsets[0].Ports[0].Port) == port &&
				sl.Endpoints[0].Addresses[0] == host && fmt.Sprint(*sl.Ports[0].Port) == port &&
				svc.Spec.Ports[0].TargetPort.String() == port && strings.Contains(info.Data["kubeconfig"], `"https://`+to+`"`)
		})
	}
}

// A binding that an older version made and that grants what nobody is to have any more goes, unless somebody has made it his own.
func TestRetiredBindingsGo(t *testing.T) {
	old := func(role string, annotations map[string]string) *rbacv1.ClusterRoleBinding {
		return &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "sampan:node-proxier", Annotations: annotations},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: api.GroupNodes}},
		}
	}
	for _, c := range []struct {
		binding *rbacv1.ClusterRoleBinding
		gone    bool
	}{
		{old("system:node-proxier", nil), true},
		{old("system:node-proxier", map[string]string{rbacv1.AutoUpdateAnnotationKey: "true"}), true},
		{old("system:node-proxier", map[string]string{rbacv1.AutoUpdateAnnotationKey: "false"}), false},
		{old("view", nil), false},
	} {
		h := hubtest.New(t)
		ctx := t.Context()
		if _, err := client.Create(ctx, h.Root, client.ClusterRoleBindings, c.binding); err != nil {
			t.Fatal(err)
		}
		if err := bootstrap.Ensure(ctx, h.Root, h.Bootstrap); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Get[*rbacv1.ClusterRoleBinding](ctx, h.Root, client.ClusterRoleBindings, "", c.binding.Name); (err != nil) != c.gone {
			t.Errorf("%s %v: %v", c.binding.RoleRef.Name, c.binding.Annotations, err)
		}
	}
}
