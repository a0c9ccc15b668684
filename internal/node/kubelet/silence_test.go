package kubelet

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/client"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/sim"
	"sampan.dev/internal/testkit"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestVirtualSilenceInACluster cuts a node off from a whole control plane, which gives it up: its pod leaves its Service, and is
// back in it within 10 s of the node's return.
func TestVirtualSilenceInACluster(t *testing.T) {
	for _, long := range []time.Duration{75 * time.Second, 10 * time.Minute} {
		t.Run(long.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := testkit.Start(t)
				other := &sim.Node{Name: "other", Door: c.Hub.Door(api.Node("other"), "kubelet"), Log: c.Log}
				c.Go(t, "other", other.Run)
				line := &line{Interface: c.Hub.Door(api.Node("n1"), "kubelet")}
				k, err := New(Config{NodeName: "n1", Runtime: runtime.NewFake(), Door: line, Log: slog.New(slog.DiscardHandler), Machine: hollow{}, NoCgroups: true, Register: true, ContainerLogs: "-"})
				if err != nil {
					t.Fatal(err)
				}
				c.Go(t, "n1", func(ctx context.Context) error { return k.Run(ctx) })
				time.Sleep(15 * time.Second)
				v := &virtual{T: t, hub: c.Hub}
				v.createStaying()
				time.Sleep(time.Minute)
				if got := v.served(); got != 1 {
					t.Fatalf("%d endpoints are ready", got)
				}
				line.cut(true)
				time.Sleep(long)
				if got := v.served(); got != 0 || ready(v.get("p")) {
					t.Fatalf("%d endpoints of a silent node are ready, its pod %v", got, v.get("p").Status.Conditions)
				}
				line.cut(false)
				time.Sleep(10 * time.Second)
				if got := v.served(); got != 1 || !ready(v.get("p")) {
					t.Errorf("%d endpoints are ready, the pod %+v", got, v.get("p").Status.Conditions)
				}
				if n := v.at(node).(*corev1.Node); nodeReady(n).Status != corev1.ConditionTrue || len(n.Spec.Taints) != 0 {
					t.Errorf("the node: %+v, %+v", nodeReady(n), n.Spec.Taints)
				}
			})
		})
	}
}

// createStaying makes a pod that tolerates whatever its node is taken for, and a Service that leads to it.
func (v *virtual) createStaying() {
	v.Helper()
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s"}}
	svc.Spec.Selector, svc.Spec.Ports = map[string]string{"app": "p"}, []corev1.ServicePort{{Port: 80}}
	if _, err := client.Create(v.Context(), v.hub.Own(), client.Services, svc); err != nil {
		v.Fatal(err)
	}
	p := podtest.Parse(v.T, strings.Fields("Always main:a"))
	p.Labels = map[string]string{"app": "p"}
	p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	v.create(p)
}

// served counts the endpoints of that Service that are ready.
func (v *virtual) served() (n int) {
	v.Helper()
	slices, err := client.ListAll[*discoveryv1.EndpointSlice](v.Context(), v.hub.Own(), client.EndpointSlices, "default",
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=s"})
	if err != nil {
		v.Fatal(err)
	}
	for _, s := range slices {
		for _, e := range s.Endpoints {
			if e.Conditions.Ready != nil && *e.Conditions.Ready {
				n++
			}
		}
	}
	return n
}
