package control_test

import (
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// found returns the object of one of the controllers' making that begins with a name.
func (b *bench) found(ref client.Ref) api.Object {
	b.Helper()
	l, err := b.door.List(b.Context(), client.Ref{Resource: ref.Resource, Namespace: ref.Namespace}, metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for _, o := range l.Items {
		if strings.HasPrefix(o.GetName(), ref.Name) {
			return o
		}
	}
	return nil
}

// TestOthersWritesAreSetRight has somebody else change, or delete, each thing that controllers keep, twice over: it is set right
// each time, whatever the controller remembers of its own last write.
func TestOthersWritesAreSetRight(t *testing.T) {
	const within = 30 * time.Second
	at := func(o api.Object, ok bool) bool { return o != nil && ok }
	slice := func(o api.Object) bool {
		s, _ := o.(*discoveryv1.EndpointSlice)
		return at(o, s != nil && len(s.Endpoints) == 2 && len(s.Ports) == 1 && s.Labels[discoveryv1.LabelServiceName] == "web")
	}
	endpoints := func(o api.Object) bool {
		e, _ := o.(*corev1.Endpoints)
		return at(o, e != nil && len(e.Subsets) == 1 && len(e.Subsets[0].Addresses) == 2)
	}
	deployed := func(o api.Object) bool {
		d, _ := o.(*appsv1.Deployment)
		return at(o, d != nil && d.Status.ReadyReplicas == 2 && d.Status.AvailableReplicas == 2 && len(d.Status.Conditions) == 2)
	}
	replicas := func(o api.Object) bool {
		r, _ := o.(*appsv1.ReplicaSet)
		return at(o, r != nil && *r.Spec.Replicas == 2 && r.Status.ReadyReplicas == 2)
	}
	node := func(f func(*corev1.Node) bool) func(api.Object) bool {
		return func(o api.Object) bool { n, _ := o.(*corev1.Node); return n != nil && f(n) }
	}
	there := func(o api.Object) bool { return o != nil }
	inDefault := func(res client.Ref, name string) client.Ref { res.Namespace, res.Name = "default", name; return res }
	slices, eps := client.Ref{Resource: client.EndpointSlices}, client.Ref{Resource: client.EndpointsResource}
	for name, c := range map[string]struct {
		ref    client.Ref
		sub    string
		change string // a merge patch; "" deletes
		right  func(api.Object) bool
	}{
		"a slice's endpoints": {inDefault(slices, "web-"), "", `{"endpoints":null}`, slice},
		"a slice's ports":     {inDefault(slices, "web-"), "", `{"ports":null}`, slice},
		"a slice":             {inDefault(slices, "web-"), "", "", slice},
		"endpoints":           {inDefault(eps, "web"), "", "", endpoints},
		"the API's own slice": {inDefault(slices, "kubernetes"), "", `{"endpoints":null}`, func(o api.Object) bool {
			s, _ := o.(*discoveryv1.EndpointSlice)
			return s != nil && len(s.Endpoints) == 1
		}},
		"the API's own endpoints":     {inDefault(eps, "kubernetes"), "", "", there},
		"a deployment's status":       {inDefault(client.Ref{Resource: client.Deployments}, "web"), "status", `{"status":{"readyReplicas":0,"availableReplicas":0,"conditions":null}}`, deployed},
		"a replica set's status":      {inDefault(client.Ref{Resource: client.ReplicaSets}, "web-"), "status", `{"status":{"readyReplicas":0,"availableReplicas":0}}`, replicas},
		"a replica set's size":        {inDefault(client.Ref{Resource: client.ReplicaSets}, "web-"), "", `{"spec":{"replicas":1}}`, replicas},
		"a replica set":               {inDefault(client.Ref{Resource: client.ReplicaSets}, "web-"), "", "", replicas},
		"a namespace's root CA":       {inDefault(client.Ref{Resource: client.ConfigMaps}, "kube-root-ca.crt"), "", `{"data":{"ca.crt":"false"}}`, func(o api.Object) bool { m, _ := o.(*corev1.ConfigMap); return m != nil && m.Data["ca.crt"] != "false" }},
		"a namespace's root CA, gone": {inDefault(client.Ref{Resource: client.ConfigMaps}, "kube-root-ca.crt"), "", "", there},
		"a default service account":   {inDefault(client.Ref{Resource: client.ServiceAccounts}, "default"), "", "", there},
		"an aggregated role":          {client.Ref{Resource: client.ClusterRoles, Name: "view"}, "", `{"rules":null}`, func(o api.Object) bool { r, _ := o.(*rbacv1.ClusterRole); return r != nil && len(r.Rules) > 0 }},
		"a node's old label":          {client.Ref{Resource: client.Nodes, Name: "n0"}, "", `{"metadata":{"labels":{"beta.kubernetes.io/os":"other"}}}`, node(func(n *corev1.Node) bool { return n.Labels["beta.kubernetes.io/os"] == "linux" })},
		"a silent node's taints": {client.Ref{Resource: client.Nodes, Name: "silent"}, "", `{"spec":{"taints":null}}`, node(func(n *corev1.Node) bool {
			return tainted(n, corev1.TaintNodeUnreachable, corev1.TaintEffectNoSchedule) && tainted(n, corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute)
		})},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, control.Config{RootCA: []byte("true")}, func(b *bench) {
				for _, n := range []string{"n0", "n1", "silent"} {
					b.addNode(n, map[string]string{corev1.LabelOSStable: "linux"})
				}
				b.setSilent(true, "silent")
				b.service("web", nil)
				b.settle(2 * time.Minute)
				if _, err := client.Create(b.Context(), b.door, client.Deployments, deployment("default", "web", 2)); err != nil {
					b.Fatal(err)
				}
				b.await("rollout", time.Minute, b.rolledOut("default", "web"))
				b.settle(10 * time.Second)
				for round := range 2 {
					o := b.found(c.ref)
					if !c.right(o) {
						b.Fatalf("round %d: wrong to begin with: %+v", round, o)
					}
					ref := c.ref
					ref.Name, ref.Subresource = o.GetName(), c.sub
					var err error
					if c.change == "" {
						err = b.door.Delete(b.Context(), ref, metav1.DeleteOptions{})
					} else {
						_, err = b.door.Patch(b.Context(), ref, types.MergePatchType, []byte(c.change), metav1.PatchOptions{})
					}
					if err != nil {
						b.Fatal(err)
					}
					b.settle(within)
					if now := b.found(c.ref); !c.right(now) {
						b.Fatalf("round %d: still wrong %v later: %+v", round, within, now)
					}
				}
			})
		})
	}
}
