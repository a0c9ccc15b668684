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

// An event tells of what a pod asks for and the node does not do.
func TestVirtualUnbuiltIsTold(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		t := v.T
		told := podtest.Parse(t, strings.Fields("Always main:a"))
		told.Name = "told"
		told.Spec.SecurityContext = &corev1.PodSecurityContext{SELinuxChangePolicy: new(corev1.SELinuxChangePolicyMountOption)}
		v.create(told)
		time.Sleep(10 * time.Second)

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
