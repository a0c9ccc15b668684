package kubelet

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// asking gives a pod's container requests and limits of CPU.
func asking(pod *corev1.Pod, cpu string) *corev1.Pod {
	list := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("64Mi")}
	pod.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: list, Limits: list.DeepCopy()}
	return pod
}

// resize asks for other amounts through the subresource.
func (v *virtual) resize(name, cpu string) {
	v.Helper()
	pod := asking(v.get(name).DeepCopy(), cpu)
	if _, err := v.hub.Own().Update(v.Context(), client.Ref{Resource: client.Pods, Namespace: "default", Name: name, Subresource: "resize"}, pod, metav1.UpdateOptions{}); err != nil {
		v.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	synctest.Wait()
}

// resizeEvents are the reasons of a pod's events, in order.
func (v *virtual) resizeEvents(name string) (out []string) {
	v.Helper()
	events, err := client.ListAll[*corev1.Event](v.Context(), v.hub.Own(), client.Events, "default", metav1.ListOptions{})
	if err != nil {
		v.Fatal(err)
	}
	for _, e := range events {
		if e.InvolvedObject.Name == name && strings.HasPrefix(e.Reason, "Resize") {
			out = append(out, e.Reason)
		}
	}
	slices.Sort(out)
	return out
}

// TestVirtualResize follows one pod through a resize that fits, one that the runtime refuses at first, and one that has to wait until
// another pod is gone.
func TestVirtualResize(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		t := v.T
		total := v.k.node.Current().Status.Allocatable.Cpu().MilliValue()
		first := asking(podtest.Parse(t, strings.Fields("Always main:a")), "100m")
		first.Name = "first"
		v.create(first)
		other := asking(podtest.Parse(t, strings.Fields("Always main:a")), resource.NewMilliQuantity(total-400, resource.DecimalSI).String())
		other.Name, other.Spec.TerminationGracePeriodSeconds = "other", new(int64)
		v.create(other)
		time.Sleep(5 * time.Second)
		started := v.get("first").Status.ContainerStatuses[0].ContainerID

		check := func(when, allocated, held, condition string) {
			t.Helper()
			p := v.get("first")
			st := p.Status.ContainerStatuses[0]
			if st.AllocatedResources.Cpu().Cmp(resource.MustParse(allocated)) != 0 || st.Resources.Limits.Cpu().Cmp(resource.MustParse(held)) != 0 {
				t.Errorf("%s: allocated %v, held to %v; want %s and %s", when, st.AllocatedResources.Cpu(), st.Resources.Limits.Cpu(), allocated, held)
			}
			got := ""
			for _, kind := range []corev1.PodConditionType{corev1.PodResizePending, corev1.PodResizeInProgress} {
				if c := pods.FindCondition(p.Status.Conditions, kind); c != nil {
					got = string(kind) + "=" + c.Reason + ": " + c.Message
				}
			}
			if (condition == "") != (got == "") || !strings.HasPrefix(got, condition) {
				t.Errorf("%s: condition %q, want %q", when, got, condition)
			}
			if st.ContainerID != started || st.RestartCount != 0 {
				t.Errorf("%s: another container runs", when)
			}
		}
		check("at first", "100m", "100m", "")
		v.resize("first", "200m")
		check("with more", "200m", "200m", "")

		v.rt.SetFail(func(call, _ string) error {
			if call == "UpdateContainer" {
				return errors.New("no")
			}
			return nil
		})
		v.resize("first", "300m")
		check("refused by the runtime", "300m", "200m", "PodResizeInProgress=Error: no")
		v.rt.SetFail(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		check("taken by the runtime", "300m", "300m", "")

		v.resize("first", "900m")
		check("without room", "300m", "300m", "PodResizePending=Deferred: Node didn't have enough resource: cpu, requested: 900, used:")
		v.resize("first", "300m")
		check("taken back", "300m", "300m", "")
		v.resize("first", "900m")
		v.remove("other")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		check("with room", "900m", "900m", "")

		v.resize("first", "800m")
		check("with less", "800m", "800m", "")
		want := []string{"ResizeCompleted", "ResizeDeferred", "ResizeError", "ResizeStarted"}
		if got := slices.Compact(v.resizeEvents("first")); !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
	})
}
