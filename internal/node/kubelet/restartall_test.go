package kubelet

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A rule of one container restarts all of its pod in their sandbox, init containers first, and the status tells of it throughout.
func TestVirtualRestartAll(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		t := v.T // the bubble's
		runs := map[string]int{}
		v.rt.SetBehave(func(_ types.UID, container string, _ int) runtime.Behavior {
			runs[container]++
			switch {
			case container == "i":
				return runtime.Behavior{Ends: true, After: time.Second}
			case container == "a" && runs["a"] < 3:
				return runtime.Behavior{Ends: true, After: 10 * time.Second, Code: 42}
			}
			return runtime.Behavior{}
		})
		uid := v.create(podtest.Parse(t, strings.Fields("Never init:i side:s main:a/all main:b")))
		time.Sleep(5 * time.Second)
		before, err := v.rt.Pod(t.Context(), uid)
		if err != nil {
			t.Fatal(err)
		}
		if c := pods.FindCondition(v.get("p").Status.Conditions, corev1.AllContainersRestarting); c == nil || c.Status != corev1.ConditionFalse {
			t.Errorf("before anything ended: %+v", c)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		var order []string
		for _, call := range v.rt.Calls() {
			if name, ok := strings.CutPrefix(call, "StartContainer "); ok {
				order = append(order, name)
			}
		}
		if got := fmt.Sprint(order); got != "[i s a b i s a b i s a b]" {
			t.Errorf("started %s", got)
		}
		p := v.get("p")
		if p.Status.Phase != corev1.PodRunning || !ready(p) {
			t.Errorf("%s, ready %t", p.Status.Phase, ready(p))
		}
		for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for _, s := range list {
				if last := s.LastTerminationState.Terminated; s.RestartCount != 2 || last == nil || last.Reason != "RestartingAllContainers" || last.ExitCode != 137 {
					t.Errorf("%s: %d restarts, before it %+v", s.Name, s.RestartCount, last)
				}
			}
		}
		for kind, want := range map[corev1.PodConditionType]corev1.ConditionStatus{corev1.AllContainersRestarting: corev1.ConditionFalse, corev1.PodInitialized: corev1.ConditionTrue} {
			if c := pods.FindCondition(p.Status.Conditions, kind); c == nil || c.Status != want {
				t.Errorf("%s: %+v", kind, c)
			}
		}
		after, err := v.rt.Pod(t.Context(), uid)
		if err != nil {
			t.Fatal(err)
		}
		if len(after.Sandboxes) != 1 || after.Sandboxes[0].ID != before.Sandboxes[0].ID {
			t.Error("it has another sandbox")
		}
		if len(after.Containers) != 4 {
			t.Errorf("%d containers are left", len(after.Containers))
		}
	})
}
