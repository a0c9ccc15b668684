package core

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sigs.k8s.io/randfill"
)

// Sharing changes nothing that can be seen, of whatever pod.
func TestSharingChangesNothing(t *testing.T) {
	fill := randfill.NewWithSeed(1).NilChance(0.3).NumElements(0, 3).MaxDepth(12).Funcs(
		func(q *resource.Quantity, c randfill.Continue) {
			*q = resource.MustParse([]string{"1", "1000m", "0.5", "1Gi", "1024Mi", "1e3", "0"}[c.Intn(7)])
		},
		func(l *corev1.ResourceList, c randfill.Continue) {
			*l = corev1.ResourceList{}
			for _, name := range []corev1.ResourceName{"cpu", "memory", "example.com/x"}[:c.Intn(4)] {
				var q resource.Quantity
				c.Fill(&q)
				(*l)[name] = q
			}
		},
		func(f **metav1.FieldsV1, c randfill.Continue) { *f = &metav1.FieldsV1{Raw: []byte("{}")} },
	)
	for range 500 {
		var p corev1.Pod
		fill.Fill(&p)
		want := p.DeepCopy()
		sharePod(&p)
		a, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		b, err := want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if string(a) != string(b) || !equality.Semantic.DeepEqual(&p, want) {
			t.Fatalf("a pod has changed: %v, was %v", p, want)
		}
	}
}

func TestPodsShareResources(t *testing.T) {
	one := func(cpu string) *corev1.Pod {
		p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse(cpu)}}}}}}
		sharePod(p)
		return p
	}
	at := func(p *corev1.Pod) uintptr { return reflect.ValueOf(p.Spec.Containers[0].Resources.Requests).Pointer() }
	a, b, c := one("100m"), one("100m"), one("200m")
	if at(a) != at(b) || at(a) == at(c) {
		t.Errorf("lists at %x, %x and (another) %x", at(a), at(b), at(c))
	}
	for range 2 * mostLists {
		one(fmt.Sprintf("%dm", rand.IntN(1<<30)))
	}
	if n := len(lists.by); n > mostLists {
		t.Errorf("%d lists are kept", n)
	}
}

// A pod may have lists of an older one, which others read: those stay as they are.
func TestSharingLeavesTheListsOfOthers(t *testing.T) {
	fill := randfill.NewWithSeed(2).NilChance(0).NumElements(1, 3).MaxDepth(12).Funcs(
		func(q *resource.Quantity, _ randfill.Continue) { *q = resource.MustParse("1") },
		func(f **metav1.FieldsV1, _ randfill.Continue) { *f = &metav1.FieldsV1{Raw: []byte("{}")} },
	)
	var old corev1.Pod
	fill.Fill(&old)
	before, made := old.DeepCopy(), old // a shallow copy, as a write of the status makes
	// A change to what sharing may write must not show in old.
	sharePod(&made)
	for i := range made.Spec.Containers {
		c := &made.Spec.Containers[i]
		c.Name, c.Command[0], c.Env[0].Name, c.Ports[0].Name, c.VolumeMounts[0].Name = "x", "x", "x", "x", "x"
	}
	made.Spec.InitContainers[0].Name, made.Spec.Volumes[0].Name, made.Spec.Tolerations[0].Key = "x", "x", "x"
	made.OwnerReferences[0].Name, made.ManagedFields[0].Manager, made.Status.Conditions[0].Reason = "x", "x", "x"
	if !equality.Semantic.DeepEqual(&old, before) {
		t.Error("the older pod has changed")
	}
}
