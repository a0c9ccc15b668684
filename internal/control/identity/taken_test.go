package identity_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control/identity"
	"sampan.dev/internal/control/loop"
	"sampan.dev/internal/hub/hubtest"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A token lets a machine join, not take the place of one that is there and alive.
func TestATokenDoesNotTakeALivingNodesName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hubtest.New(t)
		h.Boot(t)
		ctx := t.Context()
		joiner := api.User{Name: "system:bootstrap:abcdef", Groups: []string{"system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token", "system:authenticated"}}
		run := func() {
			start(t, h, map[string]func(loop.Env) loop.Runner{
				"certificate-controller/a": func(e loop.Env) loop.Runner { return identity.NewApprover(e, identity.ServingPolicy{}) },
			})
		}
		node := func(name string, renewed time.Duration, ready corev1.ConditionStatus) {
			n, err := client.Create(ctx, h.Root, client.Nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
			if err != nil {
				t.Fatal(err)
			}
			n = n.DeepCopy()
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
			if _, err := client.UpdateStatus(ctx, h.Root, client.Nodes, n); err != nil {
				t.Fatal(err)
			}
			if renewed == 0 {
				return
			}
			at, long := metav1.NewMicroTime(time.Now().Add(-renewed)), int32(1<<30)
			if _, err := client.Create(ctx, h.Root, client.Leases, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: name},
				Spec: coordinationv1.LeaseSpec{RenewTime: &at, LeaseDurationSeconds: &long}}); err != nil {
				t.Fatal(err)
			}
		}
		join := func(as api.User, node string) *csr {
			t.Helper()
			made, err := client.Create(ctx, h.As(as), client.CSRs, request(t, strings.ToLower("join-"+node+"-"+metav1.Now().Format("150405.000")),
				certificatesv1.KubeAPIServerClientKubeletSignerName, "system:node:"+node, []string{"system:nodes"}, nil, nil, certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			c, err := client.Get[*csr](ctx, h.Root, client.CSRs, "", made.Name)
			if err != nil || len(c.Status.Conditions) != 1 {
				t.Fatalf("%s: %v %v", node, c, err)
			}
			return c
		}
		denied := func(as api.User, node string, want bool) {
			t.Helper()
			x := join(as, node).Status.Conditions[0]
			if (x.Type == certificatesv1.CertificateDenied) != want {
				t.Errorf("%s as %s: %s", as.Name, node, x.Message)
			}
			if want && (x.Reason != "NodeIsAlive" || !strings.Contains(x.Message, "kubectl delete node "+node) || !strings.Contains(x.Message, "--hostname-override")) {
				t.Errorf("the refusal does not say what to do: %s: %s", x.Reason, x.Message)
			}
		}
		node("alive", time.Second, corev1.ConditionTrue)
		node("new", 5*time.Second, corev1.ConditionFalse)
		node("dead", 10*time.Minute, corev1.ConditionUnknown)
		node("restarted", 10*time.Minute, corev1.ConditionTrue) // the hub was away for as long
		node("made", 0, corev1.ConditionUnknown)                // by an administrator, for a machine to come
		node("lying", -time.Hour, corev1.ConditionUnknown)
		h.Settle(t)
		run()
		time.Sleep(time.Second)
		for name, want := range map[string]bool{"alive": true, "new": true, "restarted": true, "dead": false, "made": false, "lying": false, "nobody": false} {
			denied(joiner, name, want)
		}
		denied(api.Node("alive"), "alive", false) // it renews its own
		time.Sleep(time.Minute)
		for _, name := range []string{"alive", "new", "restarted"} {
			denied(joiner, name, false) // nothing was heard of it since
		}
	})
}
