package core

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestLimitRange holds each message of the validation; the words are upstream's.
func TestLimitRange(t *testing.T) {
	k := LimitRanges()
	for _, c := range []struct{ name, limits, want string }{
		{"bounds and defaults", `[{type: Container, min: {cpu: 100m}, max: {cpu: "2"}, default: {cpu: "1"}, defaultRequest: {cpu: 200m}, maxLimitRequestRatio: {cpu: "10"}}]`, ""},
		{"a pod's", `[{type: Pod, min: {memory: 1Mi}, max: {memory: 1Gi}}]`, ""},
		{"a claim's", `[{type: PersistentVolumeClaim, min: {storage: 1Gi}}]`, ""},
		{"somebody's own type", `[{type: example.com/device, max: {example.com/gpu: "1"}}]`, ""},
		{"no type", `[{max: {cpu: "1"}}]`, "spec.limits[0].type: Invalid value: \"\": name part must be non-empty"},
		{"unknown type", `[{type: Node}]`, `spec.limits[0].type: Invalid value: "Node": must be a standard limit type or fully qualified`},
		{"twice", `[{type: Pod}, {type: Pod}]`, `spec.limits[1].type: Duplicate value: "Pod"`},
		{"unknown resource", `[{type: Container, max: {fuel: "1"}}]`, `spec.limits[0].max[fuel]: Invalid value: "fuel": must be a standard resource type or fully qualified`},
		{"not a container's", `[{type: Container, max: {storage: "1"}}]`, `spec.limits[0].max[storage]: Invalid value: "storage": must be a standard resource for containers`},
		{"a pod has no default", `[{type: Pod, default: {cpu: "1"}}]`, "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"},
		{"a pod has no default request", `[{type: Pod, defaultRequest: {cpu: "1"}}]`, "spec.limits[0].defaultRequest: Forbidden: may not be specified when `type` is 'Pod'"},
		{"a claim without bounds", `[{type: PersistentVolumeClaim}]`, "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided"},
		{"min above max", `[{type: Pod, min: {cpu: "2"}, max: {cpu: "1"}}]`, "min value 2 is greater than max value 1"},
		{"min above request", `[{type: Container, min: {cpu: "2"}, defaultRequest: {cpu: "1"}, default: {cpu: "3"}}]`, "spec.limits[0].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than default request value 1"},
		{"request above max", `[{type: Container, max: {cpu: "1"}, defaultRequest: {cpu: "2"}, default: {cpu: "1"}}]`, "default request value 2 is greater than max value 1"},
		{"request above default", `[{type: Container, defaultRequest: {cpu: "2"}, default: {cpu: "1"}}]`, "default request value 2 is greater than default limit value 1"},
		{"min above default", `[{type: Container, min: {cpu: "2"}, default: {cpu: "1"}, defaultRequest: {cpu: "1"}}]`, "spec.limits[0].default[cpu]: Invalid value: \"2\": min value 2 is greater than default value 1"},
		{"default above max", `[{type: Container, max: {cpu: "1"}, default: {cpu: "2"}, defaultRequest: {cpu: "1"}}]`, "spec.limits[0].default[cpu]: Invalid value: \"1\": default value 2 is greater than max value 1"},
		{"ratio below one", `[{type: Pod, maxLimitRequestRatio: {cpu: 500m}}]`, "ratio 500m is less than 1"},
		{"ratio beyond the bounds", `[{type: Pod, min: {cpu: "1"}, max: {cpu: "2"}, maxLimitRequestRatio: {cpu: "3"}}]`, "ratio 3 is greater than max/min = 2.000000"},
		{"no overcommitment", `[{type: Container, default: {example.com/gpu: "2"}, defaultRequest: {example.com/gpu: "1"}}]`, "default value 2 must equal to defaultRequest value 1 in example.com/gpu"},
	} {
		l := &corev1.LimitRange{}
		if err := yaml.UnmarshalStrict([]byte("spec: {limits: "+c.limits+"}"), l); err != nil {
			t.Fatal(c.name, err)
		}
		k.Default(l)
		text := ""
		if errs := k.Validate(l); len(errs) > 0 {
			text = errs.ToAggregate().Error()
		}
		if text != "" && c.want == "" || !strings.Contains(text, c.want) {
			t.Errorf("%s: %s\nwant %s", c.name, text, c.want)
		}
		if again := k.ValidateUpdate(l, l); len(again) > 0 != (c.want != "") {
			t.Errorf("%s: as an update: %v", c.name, again)
		}
	}
}

// A LimitRange without a name gets one that nobody else has.
func TestLimitRangeWithoutName(t *testing.T) {
	k, l := LimitRanges(), &corev1.LimitRange{}
	if k.PrepareCreate(l); len(l.Name) != 36 {
		t.Errorf("named %q", l.Name)
	}
}
