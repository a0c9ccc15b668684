package kubelet

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/client"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/sim"
	"sampan.dev/internal/testkit"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestVirtualFastFailover cuts a node off that has promised to end its exclusive pods: a StatefulSet's pod runs elsewhere within 90 s,
// and at no time at both places; another pod runs on where it is. Without the promise nothing is replaced.
func TestVirtualFastFailover(t *testing.T) {
	for name, c := range map[string]struct {
		promises, restarts, stubborn bool
	}{
		"promised":                      {promises: true},
		"what does not end by itself":   {promises: true, stubborn: true},
		"by a kubelet that starts anew": {promises: true, restarts: true},
		"not promised":                  {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := testkit.Start(t)
				booted := time.Now().Add(-time.Hour)
				line := &line{Interface: cluster.Hub.Door(api.Node("n1"), "kubelet")}
				rt := runtime.NewFake()
				rt.SetBehave(func(types.UID, string, int) runtime.Behavior { return runtime.Behavior{Stubborn: c.stubborn} })
				file := t.TempDir() + "/last"
				start := func() (stop func()) {
					k, err := New(Config{NodeName: "n1", Runtime: rt, Door: line, Log: slog.New(slog.DiscardHandler), Machine: hollow{}, NoCgroups: true, Register: true, ContainerLogs: "-",
						FastFailover: c.promises, LastRenewal: file, SinceBoot: func() time.Duration { return time.Since(booted) }})
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(t.Context())
					done := make(chan struct{})
					go func() { defer close(done); _ = k.Run(ctx) }()
					return func() { cancel(); <-done }
				}
				stop := start()
				defer func() { stop() }()
				v := &virtual{T: t, hub: cluster.Hub}
				time.Sleep(5 * time.Second)
				set := v.createSet("db")
				other := podtest.Parse(t, strings.Fields("Always main:a"))
				other.Name, other.Spec.NodeName = "plain", "n1"
				v.create(other)
				time.Sleep(20 * time.Second)
				second := &sim.Node{Name: "other", Door: cluster.Hub.Door(api.Node("other"), "kubelet"), Log: cluster.Log}
				cluster.Go(t, "other", second.Run)
				time.Sleep(30 * time.Second)
				was := v.get(set + "-0")
				if was.Spec.NodeName != "n1" || was.Status.Phase != corev1.PodRunning {
					t.Fatalf("the pod is %s on %q", was.Status.Phase, was.Spec.NodeName)
				}
				running := func(uid types.UID) bool {
					list, _ := rt.List(t.Context())
					for _, p := range list {
						for _, container := range p.Containers {
							if p.UID == uid && container.State == runtime.Running {
								return true
							}
						}
					}
					return false
				}
				line.cut(true)
				cut := time.Now()
				if c.restarts {
					time.Sleep(20 * time.Second)
					stop()
					stop = start()
				}
				var replaced time.Duration
				for time.Since(cut) < 4*time.Minute {
					time.Sleep(100 * time.Millisecond)
					is, err := client.Get[*corev1.Pod](t.Context(), cluster.Hub.Own(), client.Pods, "default", set+"-0")
					if err != nil || is.UID == was.UID {
						continue
					}
					if running(was.UID) {
						t.Fatalf("after %v the pod is there twice", time.Since(cut))
					}
					if replaced == 0 && is.Status.Phase == corev1.PodRunning {
						replaced = time.Since(cut)
					}
				}
				t.Logf("replaced after %v", replaced)
				if !c.promises {
					if replaced != 0 || !running(was.UID) {
						t.Errorf("replaced after %v although nothing was promised", replaced)
					}
					return
				}
				if replaced == 0 || replaced > 90*time.Second {
					t.Errorf("replaced after %v", replaced)
				}
				if !c.restarts && !running(v.get("plain").UID) {
					t.Error("a pod that may be there twice was ended too")
				}
				line.cut(false)
				time.Sleep(time.Minute)
				if n := v.at(node).(*corev1.Node); nodeReady(n).Status != corev1.ConditionTrue || n.Annotations[pods.EndsExclusiveAfter] != "1m0s" {
					t.Errorf("the node that is back: %+v %v", nodeReady(n), n.Annotations)
				}
				stop()
				if n := v.at(node).(*corev1.Node); n.Annotations[pods.EndsExclusiveAfter] != "" {
					t.Errorf("the promise of a kubelet that has ended stands: %v", n.Annotations)
				}
				stop = func() {}
			})
		})
	}
}

// createSet makes a StatefulSet of one pod.
func (v *virtual) createSet(name string) string {
	v.Helper()
	s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	s.Spec.Replicas, s.Spec.ServiceName = new(int32(1)), name
	s.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	s.Spec.Template.Labels = s.Spec.Selector.MatchLabels
	s.Spec.Template.Spec.Containers = []corev1.Container{{Name: "main", Image: "a"}}
	if _, err := client.Create(v.Context(), v.hub.Own(), client.StatefulSets, s); err != nil {
		v.Fatal(err)
	}
	return name
}
