package podstate

import (
	"fmt"
	"strings"
	"testing"

	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/node/allocation"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// resources reads "cpu=1/2 mem=1Gi/2Gi": request and limit of each, either of which may be missing.
func resources(t *testing.T, text string) corev1.ResourceRequirements {
	t.Helper()
	r := corev1.ResourceRequirements{}
	for _, w := range strings.Fields(text) {
		name, amounts, _ := strings.Cut(w, "=")
		request, limit, _ := strings.Cut(amounts, "/")
		key := map[string]corev1.ResourceName{"cpu": corev1.ResourceCPU, "mem": corev1.ResourceMemory}[name]
		if request != "" {
			if r.Requests == nil {
				r.Requests = corev1.ResourceList{}
			}
			r.Requests[key] = resource.MustParse(request)
		}
		if limit != "" {
			if r.Limits == nil {
				r.Limits = corev1.ResourceList{}
			}
			r.Limits[key] = resource.MustParse(limit)
		}
	}
	return r
}

func (r Resize) text() string {
	of := func(name string, list []Update) string {
		var out []string
		for _, u := range list {
			out = append(out, u.Container.Name)
		}
		if out == nil {
			return ""
		}
		return name + strings.Join(out, ",") + " "
	}
	s := of("mem:", r.Memory) + of("cpu:", r.CPU)
	if r.Pod {
		s += "pod "
	}
	if r.PodLevel {
		s += "level "
	}
	return strings.TrimSpace(s)
}

func TestResizeSteps(t *testing.T) {
	for _, c := range []struct {
		name, was, want    string // of a and b, and of the pod, separated by ";"
		restart            string // the resource for whose change a is started anew
		resize, kill, main string
	}{
		{"nothing", "cpu=1/1 mem=1Gi/1Gi;", "cpu=1/1 mem=1Gi/1Gi;", "", "", "", ""},
		{"more cpu", "cpu=1/1;", "cpu=1/2;", "", "cpu:a", "", ""},
		{"request only", "cpu=1/2;", "cpu=2/2;", "", "cpu:a", "", ""},
		{"both", "cpu=1/1 mem=1Gi/1Gi;", "cpu=2/2 mem=2Gi/2Gi;", "", "mem:a cpu:a", "", ""},
		{"shrinking goes first", "cpu=1/1;cpu=2/2", "cpu=2/2;cpu=1/1", "", "cpu:b,a", "", ""},
		{"restart", "mem=1Gi/1Gi;mem=1Gi/1Gi", "mem=2Gi/2Gi;mem=2Gi/2Gi", "memory", "mem:b pod", "a", "a"},
		{"restart for what does not change", "cpu=1/1 mem=1Gi/1Gi;", "cpu=2/2 mem=1Gi/1Gi;", "memory", "cpu:a", "", ""},
		{"the pod's limit is its container's", "cpu=1/;;cpu=1/1", "cpu=1/;;cpu=1/2", "", "cpu:a,b level", "", ""},
		{"a limit is added", "mem=1Gi/;", "mem=1Gi/2Gi;", "", "mem:a", "", ""},
	} {
		parse := func(text string) *corev1.Pod {
			pod := podtest.Parse(t, strings.Fields("Always main:a main:b"))
			parts := strings.Split(text, ";")
			pod.Spec.Containers[0].Resources, pod.Spec.Containers[1].Resources = resources(t, parts[0]), resources(t, parts[1])
			if len(parts) > 2 {
				pod.Spec.Resources = new(resources(t, parts[2]))
			}
			if c.restart != "" {
				pod.Spec.Containers[0].ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: corev1.ResourceName(c.restart), RestartPolicy: corev1.RestartContainer}}
			}
			return pod
		}
		v := parseObs(t, parse(c.want), strings.Fields("ready a=running b=running"))
		v.Actuated = allocation.Of(parse(c.was))
		a := Step(v)
		var kill, main []string
		for _, k := range a.Kill {
			kill = append(kill, k.Name)
			if k.Message != fmt.Sprintf("Container %s resize requires restart", k.Name) {
				t.Errorf("%s: killed with %q", c.name, k.Message)
			}
		}
		for _, i := range a.Main {
			main = append(main, v.Pod.Spec.Containers[i].Name)
		}
		if got := a.Resize.text(); got != c.resize || strings.Join(kill, ",") != c.kill || strings.Join(main, ",") != c.main {
			t.Errorf("%s: resize %q, kill %v, start %v; want %q, %q, %q", c.name, got, kill, main, c.resize, c.kill, c.main)
		}
		if Resizing(v) != (c.resize != "") {
			t.Errorf("%s: under way: %t", c.name, Resizing(v))
		}
		v.Actuated = allocation.Of(v.Pod)
		if a := Step(v); a.Any() || Resizing(v) {
			t.Errorf("%s: when all is done: %s, %s", c.name, a.text(v.Pod), a.Resize.text())
		}
	}
}
