package podspec

import (
	"fmt"
	"strings"
	"testing"

	"sampan.dev/internal/api/pods/podtest"

	corev1 "k8s.io/api/core/v1"
)

func TestHugePages(t *testing.T) {
	for _, c := range []struct{ pod, own, want string }{
		{"", "", "1GB:0 2MB:0"},
		{"", "hugepages-2Mi=4Mi cpu=1", "1GB:0 2MB:4194304"},
		{"hugepages-1Gi=2Gi", "hugepages-2Mi=4Mi", "1GB:2147483648 2MB:4194304"},
		{"hugepages-2Mi=8Mi", "hugepages-2Mi=4Mi", "1GB:0 2MB:4194304"},
		{"", "hugepages-32Mi=32Mi", "1GB:0 2MB:0 32MB:33554432"},
	} {
		pod := podtest.Parse(t, strings.Fields("Always main:a"))
		pod.Spec.Containers[0].Resources.Limits = podtest.Resources(c.own)
		if c.pod != "" {
			pod.Spec.Resources = &corev1.ResourceRequirements{Limits: podtest.Resources(c.pod)}
		}
		var got []string
		for _, l := range HugePages(pod, &pod.Spec.Containers[0], []int64{2 << 20, 1 << 30}) {
			got = append(got, fmt.Sprint(l.PageSize, ":", l.Limit))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q of %q: %s, want %s", c.own, c.pod, got, c.want)
		}
	}
}
