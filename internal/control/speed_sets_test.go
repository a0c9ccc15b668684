package control_test

import (
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/testkit"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BenchmarkSpeedDaemonSet is from a DaemonSet until its pods are bound to a thousand hollow nodes, by the real scheduler.
func BenchmarkSpeedDaemonSet(b *testing.B) {
	for range b.N {
		b.StopTimer()
		nodes := size("SPEED_NODES", 1000)
		c := speed(b, testkit.Options{Controllers: noNodeControllers})
		hollow(b, c, nodes)
		wait := count(b, c, nodes, func(p *corev1.Pod) bool { return p.Spec.NodeName != "" })
		time.Sleep(500 * time.Millisecond)
		b.StartTimer()
		began := time.Now()
		stop := profiled(b)
		labels := map[string]string{"app": "agent"}
		if _, err := client.Create(c.Context, c.Door, client.DaemonSets, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "agent"}, Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: smallPod("").Spec},
		}}); err != nil {
			b.Fatal(err)
		}
		end := wait()
		b.StopTimer()
		stop()
		b.ReportMetric(end.Sub(began).Seconds(), "bound_s")
	}
}

// BenchmarkSpeedStatefulSet is from a parallel StatefulSet of five hundred until its pods are bound to hollow nodes.
func BenchmarkSpeedStatefulSet(b *testing.B) {
	for range b.N {
		b.StopTimer()
		n := int32(size("SPEED_PODS", 500))
		c := speed(b, testkit.Options{Controllers: noNodeControllers})
		hollow(b, c, 100)
		wait := count(b, c, int(n), func(p *corev1.Pod) bool { return p.Spec.NodeName != "" })
		time.Sleep(500 * time.Millisecond)
		b.StartTimer()
		began := time.Now()
		stop := profiled(b)
		set := statefulSet("web", n, parallel)
		set.Spec.Template.Spec = smallPod("").Spec
		if _, err := client.Create(c.Context, c.Door, client.StatefulSets, set); err != nil {
			b.Fatal(err)
		}
		end := wait()
		b.StopTimer()
		stop()
		b.ReportMetric(end.Sub(began).Seconds(), "bound_s")
	}
}
