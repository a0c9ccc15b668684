package pods

import (
	"testing"

	"sampan.dev/internal/api/pods/podtest"

	corev1 "k8s.io/api/core/v1"
)

func TestQOS(t *testing.T) {
	for _, c := range []struct {
		req, lim string
		want     corev1.PodQOSClass
	}{{"", "", corev1.PodQOSBestEffort}, {"cpu=1", "", corev1.PodQOSBurstable}, {"cpu=1 memory=1Gi", "cpu=1 memory=1Gi", corev1.PodQOSGuaranteed},
		{"cpu=1 memory=1Gi", "cpu=2 memory=1Gi", corev1.PodQOSBurstable}, {"cpu=1", "cpu=1", corev1.PodQOSBurstable}} {
		pod := podtest.Parse(t, []string{"Always", "main:a"})
		pod.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: podtest.Resources(c.req), Limits: podtest.Resources(c.lim)}
		if got := QoS(pod); got != c.want {
			t.Errorf("%q %q: %s, want %s", c.req, c.lim, got, c.want)
		}
	}
}
