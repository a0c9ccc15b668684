package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// deviceClaims says of each claim in the default namespace which devices it has and for how many it is reserved.
func (b *bench) deviceClaims() (all []*resourcev1.ResourceClaim, text string) {
	b.Helper()
	all, err := client.ListAll[*resourcev1.ResourceClaim](b.Context(), b.door, client.ResourceClaims, "default", metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	var out []string
	for _, k := range all {
		out = append(out, fmt.Sprintf("%s of %s: allocated %t, reserved %d, %v", k.Annotations[resourcev1.PodResourceClaimAnnotation],
			k.OwnerReferences[0].Name, k.Status.Allocation != nil, len(k.Status.ReservedFor), k.Finalizers))
	}
	slices.Sort(out)
	return all, strings.Join(out, "; ")
}

func (b *bench) claiming(pod string) {
	b.Helper()
	if _, err := client.Create(b.Context(), b.door, client.Pods, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: pod}, Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}},
		ResourceClaims: []corev1.PodResourceClaim{{Name: "a", ResourceClaimTemplateName: new("t")}, {Name: "b", ResourceClaimTemplateName: new("t")}},
	}}); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) claimTemplate() {
	b.Helper()
	if _, err := client.Create(b.Context(), b.door, client.ResourceClaimTemplates, &resourcev1.ResourceClaimTemplate{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "t"},
		Spec: resourcev1.ResourceClaimTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"l": "1"}}, Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{
			Requests: []resourcev1.DeviceRequest{{Name: "r", Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: "gpu"}}},
		}}},
	}); err != nil {
		b.Fatal(err)
	}
}

// allocate gives every claim a device, as the scheduler does.
func (b *bench) allocate() {
	b.Helper()
	all, _ := b.deviceClaims()
	for i, k := range all {
		k = k.DeepCopy()
		k.Finalizers = []string{resourcev1.Finalizer}
		k, err := client.Update(b.Context(), b.door, client.ResourceClaims, k)
		if err == nil {
			k = k.DeepCopy()
			k.Status.Allocation = &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{Results: []resourcev1.DeviceRequestAllocationResult{
				{Request: "r", Driver: "gpu.example.com", Pool: "p", Device: fmt.Sprint("gpu-", i)},
			}}}
			_, err = client.UpdateStatus(b.Context(), b.door, client.ResourceClaims, k)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// TestClaimCrashes: each of a pod's claims is made once, reserved for it, freed and deleted when it has ended; another pod's
// stay.
func TestClaimCrashes(t *testing.T) {
	crashes(t, "resource-claim-controller", []string{"resourceclaim-controller"}, []string{"n0"}, func(b *bench) string {
		b.claimTemplate()
		b.claiming("p")
		b.claiming("q")
		b.settle(10 * time.Second)
		b.allocate()
		b.settle(10 * time.Second)
		b.succeed("p")
		b.settle(30 * time.Second)
		_, text := b.deviceClaims()
		q, err := client.Get[*corev1.Pod](b.Context(), b.door, client.Pods, "default", "q")
		if err != nil {
			b.Fatal(err)
		}
		return fmt.Sprintf("%s; %d names", text, len(q.Status.ResourceClaimStatuses))
	})
}

// A pod without a template is told so; what is deleted is made again; nothing is written without need.
func TestClaimsFromTemplates(t *testing.T) {
	inBubble(t, control.Config{Controllers: []string{"node-lifecycle-controller", "resourceclaim-controller"}}, func(b *bench) {
		b.addNode("n0", nil)
		b.claiming("p")
		b.settle(time.Second)
		b.wantEvent(`resource_claim Warning FailedResourceClaimCreation: PodResourceClaim a: resource claim template "t": resourceclaimtemplate.resource.k8s.io "t" not found`)
		b.claimTemplate()
		b.settle(time.Minute)
		all, text := b.deviceClaims()
		if len(all) != 2 || all[0].Labels["l"] != "1" || !strings.HasPrefix(all[0].Name, "p-") {
			b.Fatalf("%s: %+v", text, all)
		}
		if err := client.Delete(b.Context(), b.door, client.ResourceClaims, "default", all[0].Name, ""); err != nil {
			b.Fatal(err)
		}
		b.settle(time.Minute)
		if all, text := b.deviceClaims(); len(all) != 2 {
			b.Errorf("after a deletion: %s", text)
		}
		before := b.revision()
		b.settle(10 * time.Minute)
		for _, w := range b.writtenSince(before) {
			if strings.Contains(w, "resourceclaims") || strings.Contains(w, "pods") {
				b.Errorf("written: %s", w)
			}
		}
	})
}

// Pods leave tainted devices, at once or when their toleration has run out; one whose taint goes before that stays. The rule tells of it,
// and nothing is written when nothing happens.
func TestDeviceTaintEviction(t *testing.T) {
	inBubble(t, control.Config{Controllers: []string{"node-lifecycle-controller", "resourceclaim-controller", "device-taint-eviction-controller"}}, func(b *bench) {
		b.addNode("n0", nil)
		b.claimTemplate()
		b.claiming("p")
		b.settle(10 * time.Second)
		b.allocate()
		b.settle(10 * time.Second)
		rule := func(name, device string) *resourcev1.DeviceTaintRule {
			return &resourcev1.DeviceTaintRule{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: resourcev1.DeviceTaintRuleSpec{
				DeviceSelector: &resourcev1.DeviceTaintSelector{Driver: new("gpu.example.com"), Device: &device},
				Taint:          resourcev1.DeviceTaint{Key: "broken", Effect: resourcev1.DeviceTaintEffectNoExecute},
			}}
		}
		condition := func(name, want string) {
			b.Helper()
			r, err := client.Get[*resourcev1.DeviceTaintRule](b.Context(), b.door, client.DeviceTaintRules, "", name)
			if err != nil {
				b.Fatal(err)
			}
			got := ""
			for _, c := range r.Status.Conditions {
				got += fmt.Sprintf("%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
			}
			if got != want {
				b.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		create(b, client.DeviceTaintRules, rule("nobody", "gpu-9"))
		b.settle(30 * time.Second)
		condition("nobody", "EvictionInProgress=False NotStarted: ")
		if len(b.podsOf("default", nil)) != 1 {
			b.Fatal("the pod has gone for a device that it does not have")
		}
		create(b, client.DeviceTaintRules, rule("mine", "gpu-0"))
		b.settle(time.Minute)
		for _, p := range b.podsOf("default", nil) {
			if p.DeletionTimestamp == nil {
				b.Errorf("%s stays", p.Name)
			}
		}
		b.wantEvent("device-taint-eviction-controller Normal DeviceTaintManagerEviction: Marking for deletion")
		condition("mine", "EvictionInProgress=False Completed: 1 pod evicted since starting the controller.")
		before := b.revision()
		b.settle(10 * time.Minute)
		for _, w := range b.writtenSince(before) {
			if strings.Contains(w, "devicetaintrules") || strings.Contains(w, "pods") {
				b.Errorf("written: %s", w)
			}
		}
	})
}
