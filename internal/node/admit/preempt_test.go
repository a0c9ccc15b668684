package admit

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// sized reads "name cpu=100m mem=1Gi limit": what one container asks for, and whether that is its limit too.
func sized(text string) *corev1.Pod {
	words := strings.Fields(text)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: words[0]}}
	r := corev1.ResourceRequirements{Requests: corev1.ResourceList{}}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "cpu":
			r.Requests[corev1.ResourceCPU] = resource.MustParse(value)
		case "mem":
			r.Requests[corev1.ResourceMemory] = resource.MustParse(value)
		case "limit":
			r.Limits = r.Requests.DeepCopy()
		}
	}
	p.Spec.Containers = []corev1.Container{{Name: "c", Resources: r}}
	return p
}

// TestVictims has upstream's rules: cheaper classes first, and of each no more than is needed.
func TestVictims(t *testing.T) {
	const node = "cpu=1 mem=1Gi"
	for _, c := range []struct {
		pod    string
		others []string
		want   string
	}{
		{"p cpu=500m", []string{"a cpu=500m"}, ""},
		{"p cpu=600m", []string{"a cpu=500m"}, "a"},
		{"p cpu=500m", []string{"big cpu=600m", "small cpu=200m"}, "big"},
		{"p cpu=300m", []string{"big cpu=600m", "small cpu=400m"}, "small"},
		{"p cpu=500m mem=500Mi", []string{"g cpu=500m mem=500Mi limit", "b cpu=500m mem=500Mi"}, "b"},
		{"p cpu=500m mem=700Mi", []string{"g cpu=400m mem=600Mi limit", "b cpu=600m mem=300Mi"}, "b g"},
		{"p cpu=500m", []string{"critical cpu=900m"}, "no set of running pods found to reclaim resources: [(res: cpu, q: 400), ]"},
		{"p cpu=2", []string{"a cpu=500m"}, "no set of running pods found to reclaim resources: [(res: cpu, q: 1000), ]"},
	} {
		var others []*corev1.Pod
		for _, o := range c.others {
			others = append(others, sized(o))
		}
		alloc := sized("node " + node).Spec.Containers[0].Resources.Requests
		got, err := Victims(sized(c.pod), others, alloc, func(p *corev1.Pod) bool { return p.Name != "critical" })
		var names []string
		for _, p := range got {
			names = append(names, p.Name)
		}
		slices.Sort(names)
		text := strings.Join(names, " ")
		if err != nil {
			text = err.Error()
		}
		if text != c.want {
			t.Errorf("%s beside %v: %q, want %q", c.pod, c.others, text, c.want)
		}
	}
}
