package kubelet

import (
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/api/unbuilt"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A pod that asks for an isolation that the node cannot give is refused, and nothing of it runs; of what harms less there is an
// event.
func TestVirtualUnbuiltIsRefusedOrTold(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		t := v.T
		refused := podtest.Parse(t, strings.Fields("Always main:a"))
		refused.Name, refused.Spec.ResourceClaims = "refused", []corev1.PodResourceClaim{{Name: "c", ResourceClaimName: new("c")}}
		uid := v.create(refused)
		told := podtest.Parse(t, strings.Fields("Always main:a"))
		told.Name = "told"
		told.Spec.SecurityContext = &corev1.PodSecurityContext{SELinuxChangePolicy: new(corev1.SELinuxChangePolicyMountOption)}
		v.create(told)
		time.Sleep(10 * time.Second)

		p := v.get("refused")
		if p.Status.Phase != corev1.PodFailed || p.Status.Reason != "PodFeatureUnsupported" || !strings.Contains(p.Status.Message, "spec.resourceClaims") {
			t.Errorf("%s %s %q", p.Status.Phase, p.Status.Reason, p.Status.Message)
		}
		if pod, _ := v.rt.Pod(t.Context(), uid); pod != nil && len(pod.Containers) > 0 {
			t.Errorf("%d containers of it were made", len(pod.Containers))
		}
		if p := v.get("told"); p.Status.Phase != corev1.PodRunning {
			t.Errorf("%s", p.Status.Phase)
		}
		events, err := client.ListAll[*corev1.Event](t.Context(), v.hub.Own(), client.Events, "default", metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.InvolvedObject.Name == "told" && e.Reason == unbuilt.Reason && strings.Contains(e.Message, "spec.securityContext.seLinuxChangePolicy") {
				return
			}
		}
		t.Error("no event tells of the policy")
	})
}
