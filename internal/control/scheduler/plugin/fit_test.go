package plugin

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A pod that leaves helps where there is room enough now, or where its room could not be had by preemption before.
func TestFitIsHelpedByPodsThatLeave(t *testing.T) {
	of := func(cpu string, priority int32) *Pod {
		p := &corev1.Pod{}
		p.Spec.Priority = &priority
		p.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse(cpu)}}}}
		return NewPod(p)
	}
	obj := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	obj.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("4"), "pods": resource.MustParse("10")}
	for _, tt := range []struct {
		name        string
		stays, left *Pod
		helps       bool
	}{
		{"enough", of("1", 0), of("1", 0), true},
		{"not enough", of("3", 0), of("1", 0), false},
		{"not enough, but it stood in the way of preemption", of("3", 0), of("1", 5), true},
	} {
		n := NewNode("n").With(obj).WithPod(tt.stays)
		if got := (Fit{}).Helps(of("2", 5), Change{Event: PodLeft, Node: n, Pod: tt.left}); got != tt.helps {
			t.Errorf("%s: helps %v", tt.name, got)
		}
	}
}
