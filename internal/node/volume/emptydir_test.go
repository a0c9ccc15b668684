package volume

import (
	"strings"
	"testing"

	"sampan.dev/internal/api/pods/podtest"

	corev1 "k8s.io/api/core/v1"
)

func TestPageSize(t *testing.T) {
	for _, c := range []struct{ medium, asks, want string }{
		{"HugePages", "hugepages-2Mi=4Mi", "2Mi"},
		{"HugePages-2Mi", "hugepages-2Mi=4Mi hugepages-1Gi=1Gi", "2Mi"},
		{"HugePages-1Gi", "hugepages-2Mi=4Mi hugepages-1Gi=1Gi", "1Gi"},
		{"HugePages", "hugepages-2Mi=4Mi hugepages-1Gi=1Gi", "medium: HugePages can't be used if container requests multiple huge page sizes"},
		{"HugePages", "memory=1Gi", "medium HugePages: hugePages storage requested, but there is no resource request for huge pages"},
		{"HugePages-1Gi", "hugepages-2Mi=4Mi", "medium HugePages-1Gi: hugePages storage requested, but there is no resource request for huge pages"},
	} {
		pod := podtest.Parse(t, strings.Fields("Always main:a"))
		pod.Spec.Containers[0].Resources.Requests = podtest.Resources(c.asks)
		got, err := pageSize(corev1.StorageMedium(c.medium), pod)
		if err != nil {
			got = err.Error()
		}
		if got != c.want || !isHugePages(corev1.StorageMedium(c.medium)) {
			t.Errorf("%s of %s: %s, want %s", c.medium, c.asks, got, c.want)
		}
	}
	if isHugePages(corev1.StorageMediumMemory) || isHugePages("") {
		t.Error("memory is not huge pages")
	}
}
