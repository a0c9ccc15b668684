package api_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"sampan.dev/internal/api"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What was written in process is equal to what others read.
func TestSettledTimes(t *testing.T) {
	at := metav1.NewTime(time.Unix(1e9, 123456789))
	micro := metav1.NewMicroTime(at.Time)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", CreationTimestamp: at, DeletionTimestamp: &at,
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m", Time: &at}}}}
	node.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoExecute, TimeAdded: &at}, {Key: "l", Effect: corev1.TaintEffectNoExecute}}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, LastHeartbeatTime: metav1.Now()}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: corev1.PodStatus{StartTime: &at,
		ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}}}}}}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "l"}, Spec: coordinationv1.LeaseSpec{RenewTime: &micro}}
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Status: policyv1.PodDisruptionBudgetStatus{
		DisruptedPods: map[string]metav1.Time{"p": at}}}
	for _, obj := range []api.Object{node, pod, lease, budget} {
		obj := obj.DeepCopyObject().(api.Object)
		api.Settle(obj)
		for name, back := range map[string]api.Object{"JSON": viaJSON(t, obj), "protobuf": viaStored(t, obj)} {
			back.GetObjectKind().SetGroupVersionKind(obj.GetObjectKind().GroupVersionKind())
			if !equality.Semantic.DeepEqual(obj, back) {
				t.Errorf("%T differs from its %s:\n%+v\n%+v", obj, name, obj, back)
			}
		}
	}
	api.Settle(lease)
	if got := lease.Spec.RenewTime.Nanosecond(); got != 123456000 {
		t.Errorf("the lease was renewed at %d ns of a second", got)
	}
}

func TestSettleCostsLittle(t *testing.T) {
	pod := &corev1.Pod{Status: corev1.PodStatus{Conditions: make([]corev1.PodCondition, 5)}}
	api.Settle(pod)
	if n := testing.AllocsPerRun(100, func() { api.Settle(pod) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func viaJSON(t *testing.T, obj api.Object) api.Object {
	data, err := api.EncodeJSON(obj)
	if err != nil {
		t.Fatal(err)
	}
	back := reflect.New(reflect.TypeOf(obj).Elem()).Interface().(api.Object)
	if err := json.Unmarshal(data, back); err != nil {
		t.Fatal(err)
	}
	return back
}

func viaStored(t *testing.T, obj api.Object) api.Object {
	data, err := api.EncodeStored(obj)
	if err != nil {
		t.Fatal(err)
	}
	back := reflect.New(reflect.TypeOf(obj).Elem()).Interface().(api.Object)
	if back, err = api.DecodeStored(data, back); err != nil {
		t.Fatal(err)
	}
	return back
}

func BenchmarkSettle(b *testing.B) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: make([]corev1.Container, 2), Volumes: make([]corev1.Volume, 2)}, Status: corev1.PodStatus{Conditions: make([]corev1.PodCondition, 5)}}
	for b.Loop() {
		api.Settle(pod)
	}
}
