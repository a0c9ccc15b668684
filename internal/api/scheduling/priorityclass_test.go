package scheduling

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
)

func TestPriorityClass(t *testing.T) {
	bad := corev1.PreemptionPolicy("Maybe")
	for _, c := range []struct {
		name   string
		change func(*schedulingv1.PriorityClass)
		want   string
	}{
		{"mine", func(c *schedulingv1.PriorityClass) { c.Value = HighestUser }, ``},
		{"mine", func(c *schedulingv1.PriorityClass) { c.Value = HighestUser + 1 }, `value: Forbidden: maximum allowed value of a user defined priority is 1000000000`},
		{"system-mine", func(*schedulingv1.PriorityClass) {}, `system-mine is not a known system priority class`},
		{NodeCritical, func(c *schedulingv1.PriorityClass) { c.Value = 2000001000 }, ``},
		{NodeCritical, func(c *schedulingv1.PriorityClass) { c.Value = 1 }, `metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: value of system-node-critical PriorityClass must be 2000001000`},
		{ClusterCritical, func(c *schedulingv1.PriorityClass) { c.Value, c.GlobalDefault = SystemCritical, true }, `globalDefault of system-cluster-critical PriorityClass must be false`},
		{"mine", func(c *schedulingv1.PriorityClass) { c.PreemptionPolicy = &bad }, `preemptionPolicy: Unsupported value: "Maybe": supported values: "PreemptLowerPriority", "Never"`},
	} {
		o := &schedulingv1.PriorityClass{}
		o.Name = c.name
		c.change(o)
		PriorityClasses().Default(o)
		got := ""
		if errs := PriorityClasses().Validate(o); len(errs) > 0 {
			got = errs.ToAggregate().Error()
		}
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s", c.name, got)
		}
	}
	a, b := &schedulingv1.PriorityClass{Value: 1}, &schedulingv1.PriorityClass{Value: 2}
	if errs := PriorityClasses().ValidateUpdate(b, a); len(errs) != 1 || errs[0].Error() != "value: Forbidden: may not be changed in an update." {
		t.Error(errs)
	}
	for _, c := range SystemClasses() {
		if errs := PriorityClasses().Validate(c); errs != nil {
			t.Errorf("%s: %v", c.Name, errs)
		}
	}
}
