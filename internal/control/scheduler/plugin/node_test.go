package plugin

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Many pods at once add up to what they do one by one, and leave the node as it was.
func TestWithPods(t *testing.T) {
	of := func(cpu string, port int32) *corev1.Pod {
		p := &corev1.Pod{}
		p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{HostPort: port}}}}
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse(cpu), "example.com/gpu": resource.MustParse("1")}
		return p
	}
	list := []*corev1.Pod{of("100m", 80), of("2", 81), of("1", 80)}
	before := NewNode("n").WithPod(NewPod(of("1", 82)))
	was := *before
	one := before
	for _, p := range list {
		one = one.WithPod(NewPod(p))
	}
	if many := before.WithPods(list); !reflect.DeepEqual(many, one) {
		t.Errorf("%+v, want %+v", many, one)
	}
	if !reflect.DeepEqual(*before, was) || len(before.Ports) != 1 {
		t.Errorf("the node itself has changed: %+v", before)
	}
}
