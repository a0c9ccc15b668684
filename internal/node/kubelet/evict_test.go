package kubelet

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/api/pods/podtest"

	corev1 "k8s.io/api/core/v1"
)

// TestVirtualEviction ends a pod for the node's sake and another for its own: both have failed and say why, and of the first it is told
// that it was disturbed.
func TestVirtualEviction(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		t := v.T
		for _, name := range []string{"node", "own"} {
			pod := podtest.Parse(t, strings.Fields("Always main:a"))
			pod.Name = name
			v.create(pod)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		evictions := v.k.evictions()
		if n := len(evictions.Active()); n != 2 {
			t.Fatalf("%d pods are active", n)
		}
		node, own := v.get("node").UID, v.get("own").UID
		evictions.Evict(node, "memory.available", "The node was low on resource: memory. ", 1, true)
		evictions.Evict(own, "emptydirfs.limit", "too much. ", 1, false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for name, message := range map[string]string{"node": "The node was low on resource: memory. ", "own": "too much. "} {
			p := v.get(name)
			if p.Status.Phase != corev1.PodFailed || p.Status.Reason != "Evicted" || p.Status.Message != message {
				t.Errorf("%s: %s %s %q", name, p.Status.Phase, p.Status.Reason, p.Status.Message)
			}
			c := pods.FindCondition(p.Status.Conditions, corev1.DisruptionTarget)
			if told := c != nil && c.Status == corev1.ConditionTrue && c.Reason == "TerminationByKubelet" && c.Message == message; told != (name == "node") {
				t.Errorf("%s: %+v", name, c)
			}
			if seen, _ := v.rt.Pod(t.Context(), p.UID); seen.Running() {
				t.Errorf("%s still runs", name)
			}
		}
		if !evictions.Gone(node) || !evictions.Gone(own) || len(evictions.Active()) != 0 {
			t.Error("they are not gone")
		}
	})
}

// TestVirtualPreemption has a critical pod come to a node that is full: another gives way.
func TestVirtualPreemption(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		t := v.T
		total := v.k.node.Current().Status.Allocatable.Cpu().String()
		ordinary := asking(podtest.Parse(t, strings.Fields("Always main:a")), total)
		ordinary.Name, ordinary.Spec.TerminationGracePeriodSeconds = "ordinary", new(int64)
		v.create(ordinary)
		time.Sleep(5 * time.Second)
		critical := asking(podtest.Parse(t, strings.Fields("Always main:a")), "100m")
		critical.Name, critical.Namespace, critical.Spec.PriorityClassName = "critical", "default", "system-node-critical"
		v.create(critical)
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if p := v.get("critical"); p.Status.Phase != corev1.PodRunning {
			t.Errorf("the critical pod: %s %s %q", p.Status.Phase, p.Status.Reason, p.Status.Message)
		}
		p := v.get("ordinary")
		c := pods.FindCondition(p.Status.Conditions, corev1.DisruptionTarget)
		if p.Status.Phase != corev1.PodFailed || p.Status.Reason != "Preempting" || p.Status.Message != "Preempted in order to admit critical pod" ||
			c == nil || c.Message != "Pod was preempted by Kubelet to accommodate a critical pod." {
			t.Errorf("the other: %s %s %q, %+v", p.Status.Phase, p.Status.Reason, p.Status.Message, c)
		}
	})
}
