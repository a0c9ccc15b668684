package podcontrol

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestTemplateHash: a v1.37.1 controller manager named the set of this template d-5b86d497db.
func TestTemplateHash(t *testing.T) {
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyAlways, TerminationGracePeriodSeconds: new(int64(30)), DNSPolicy: corev1.DNSClusterFirst,
			SecurityContext: &corev1.PodSecurityContext{}, SchedulerName: "none",
			Containers: []corev1.Container{{
				Name: "a", Image: "x", TerminationMessagePath: "/dev/termination-log",
				TerminationMessagePolicy: corev1.TerminationMessageReadFile, ImagePullPolicy: corev1.PullAlways,
			}},
		},
	}
	if got := TemplateHash(&template, nil); got != "5b86d497db" {
		t.Errorf("got %s", got)
	}
	if got := TemplateHash(&template, new(int32(1))); got == "5b86d497db" {
		t.Error("a collision does not change the hash")
	}
}
