package scheduling

import (
	"testing"

	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func said(errs field.ErrorList) string {
	if len(errs) == 0 {
		return ""
	}
	return errs.ToAggregate().Error()
}

func gang(least int32) schedulingv1alpha3.PodGroupSchedulingPolicy {
	return schedulingv1alpha3.PodGroupSchedulingPolicy{Gang: &schedulingv1alpha3.GangSchedulingPolicy{MinCount: least}}
}

func TestPodGroup(t *testing.T) {
	kind, value, policy := PodGroups(), int32(2000000000), schedulingv1alpha3.PreemptNever
	for _, c := range []struct {
		name   string
		change func(*schedulingv1alpha3.PodGroup)
		want   string
	}{
		{"gang", func(*schedulingv1alpha3.PodGroup) {}, ""},
		{"basic", func(g *schedulingv1alpha3.PodGroup) {
			g.Spec.SchedulingPolicy = schedulingv1alpha3.PodGroupSchedulingPolicy{Basic: &schedulingv1alpha3.BasicSchedulingPolicy{}}
		}, ""},
		{"no policy", func(g *schedulingv1alpha3.PodGroup) {
			g.Spec.SchedulingPolicy = schedulingv1alpha3.PodGroupSchedulingPolicy{}
		},
			"spec.schedulingPolicy: Invalid value: \"\": must specify one of: `basic`, `gang`"},
		{"two policies", func(g *schedulingv1alpha3.PodGroup) {
			g.Spec.SchedulingPolicy.Basic = &schedulingv1alpha3.BasicSchedulingPolicy{}
		},
			"spec.schedulingPolicy: Invalid value: \"{basic, gang}\": must specify exactly one of: `basic`, `gang`"},
		{"none of them", func(g *schedulingv1alpha3.PodGroup) { g.Spec.SchedulingPolicy = gang(0) }, "spec.schedulingPolicy.gang.minCount: Required value"},
		{"fewer than none", func(g *schedulingv1alpha3.PodGroup) { g.Spec.SchedulingPolicy = gang(-1) },
			"spec.schedulingPolicy.gang.minCount: Invalid value: -1: must be greater than or equal to 1"},
		{"too important", func(g *schedulingv1alpha3.PodGroup) { g.Spec.Priority = &value },
			"spec.priority: Invalid value: 2000000000: must be less than or equal to 1000000000"},
		{"half a reference", func(g *schedulingv1alpha3.PodGroup) {
			g.Spec.WorkloadRef = &schedulingv1alpha3.WorkloadReference{WorkloadName: "w"}
		}, "spec.workloadRef.templateName: Required value"},
		{"of other features", func(g *schedulingv1alpha3.PodGroup) {
			g.Spec.SchedulingConstraints, g.Spec.PreemptionPolicy = &schedulingv1alpha3.PodGroupSchedulingConstraints{}, &policy
			g.Spec.ResourceClaims, g.Spec.ParentCompositePodGroupName = []schedulingv1alpha3.PodGroupResourceClaim{{}}, new(string)
		}, ""},
	} {
		g := &schedulingv1alpha3.PodGroup{Spec: schedulingv1alpha3.PodGroupSpec{SchedulingPolicy: gang(2)}}
		c.change(g)
		kind.Default(g)
		kind.PrepareCreate(g)
		if got := said(kind.Validate(g)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if s := g.Spec; s.DisruptionMode == nil || s.DisruptionMode.Single == nil || s.SchedulingConstraints != nil || s.ResourceClaims != nil ||
			s.PreemptionPolicy != nil || s.ParentCompositePodGroupName != nil {
			t.Errorf("%s: stored as %+v", c.name, s)
		}
	}
}

func TestPodGroupChange(t *testing.T) {
	kind := PodGroups()
	for _, c := range []struct {
		name   string
		change func(*schedulingv1alpha3.PodGroup)
		want   string
	}{
		{"another minCount", func(g *schedulingv1alpha3.PodGroup) { g.Spec.SchedulingPolicy = gang(5) }, ""},
		{"another class", func(g *schedulingv1alpha3.PodGroup) { g.Spec.PriorityClassName = "b" },
			"spec.priorityClassName: Invalid value: null: field is immutable"},
		{"no gang", func(g *schedulingv1alpha3.PodGroup) {
			g.Spec.SchedulingPolicy = schedulingv1alpha3.PodGroupSchedulingPolicy{Basic: &schedulingv1alpha3.BasicSchedulingPolicy{}}
		}, "[spec.schedulingPolicy.basic: Invalid value: null: field is immutable, spec.schedulingPolicy.gang: Invalid value: null: field cannot be cleared once set]"},
		{"all together", func(g *schedulingv1alpha3.PodGroup) {
			g.Spec.DisruptionMode = &schedulingv1alpha3.DisruptionMode{All: &schedulingv1alpha3.AllDisruptionMode{}}
		}, "spec.disruptionMode: Invalid value: null: field is immutable"},
	} {
		old := &schedulingv1alpha3.PodGroup{Spec: schedulingv1alpha3.PodGroupSpec{SchedulingPolicy: gang(2), PriorityClassName: "a"}}
		kind.Default(old)
		g := old.DeepCopy()
		c.change(g)
		kind.PrepareUpdate(g, old)
		if got := said(kind.ValidateUpdate(g, old)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestPodGroupStatus(t *testing.T) {
	status := PodGroups().Subresources[0]
	old := &schedulingv1alpha3.PodGroup{Spec: schedulingv1alpha3.PodGroupSpec{SchedulingPolicy: gang(2)}}
	g := old.DeepCopy()
	g.Labels, g.Spec.SchedulingPolicy = map[string]string{"a": "b"}, gang(9)
	g.Status.ResourceClaimStatuses = []schedulingv1alpha3.PodGroupResourceClaimStatus{{Name: "c"}}
	g.Status.Conditions = []metav1.Condition{{Type: schedulingv1alpha3.PodGroupInitiallyScheduled, Status: "True", Reason: "Scheduled", LastTransitionTime: metav1.Now()}}
	status.PrepareUpdate(g, old)
	if g.Labels != nil || g.Spec.SchedulingPolicy.Gang.MinCount != 2 || g.Status.ResourceClaimStatuses != nil {
		t.Errorf("stored as %+v", g)
	}
	if got := said(status.ValidateUpdate(g, old)); got != "" {
		t.Error(got)
	}
	g.Status.Conditions[0].Reason = ""
	if got := said(status.ValidateUpdate(g, old)); got != "status.conditions[0].reason: Required value" {
		t.Error(got)
	}
}

func TestPodGroupRow(t *testing.T) {
	for want, change := range map[string]func(*schedulingv1alpha3.PodGroup){
		"Gang <none> Pending": func(*schedulingv1alpha3.PodGroup) {},
		"Basic w Scheduled": func(g *schedulingv1alpha3.PodGroup) {
			g.Spec.SchedulingPolicy, g.Spec.WorkloadRef = schedulingv1alpha3.PodGroupSchedulingPolicy{}, &schedulingv1alpha3.WorkloadReference{WorkloadName: "w"}
			g.Status.Conditions = []metav1.Condition{{Type: schedulingv1alpha3.PodGroupInitiallyScheduled, Status: "True"}}
		},
		"Gang <none> Unschedulable": func(g *schedulingv1alpha3.PodGroup) {
			g.Status.Conditions = []metav1.Condition{{Type: schedulingv1alpha3.PodGroupInitiallyScheduled, Status: "False"}}
		},
		"Gang <none> PreemptionByScheduler": func(g *schedulingv1alpha3.PodGroup) {
			g.Status.Conditions = []metav1.Condition{{Type: schedulingv1alpha3.DisruptionTarget, Status: "True", Reason: "PreemptionByScheduler"}}
		},
	} {
		g := &schedulingv1alpha3.PodGroup{Spec: schedulingv1alpha3.PodGroupSpec{SchedulingPolicy: gang(2)}}
		change(g)
		row := PodGroups().Row(g)
		if got := row[1].(string) + " " + row[2].(string) + " " + row[3].(string); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestWorkload(t *testing.T) {
	kind := Workloads()
	template := func(name string, class string) schedulingv1alpha3.PodGroupTemplate {
		return schedulingv1alpha3.PodGroupTemplate{Name: name, SchedulingPolicy: gang(2), PriorityClassName: class}
	}
	for _, c := range []struct {
		name      string
		templates []schedulingv1alpha3.PodGroupTemplate
		want      string
	}{
		{"two", []schedulingv1alpha3.PodGroupTemplate{template("a", "x"), template("b", "x")}, ""},
		{"none", nil, "spec: Invalid value: \"\": must specify one of: `podGroupTemplates`, `compositePodGroupTemplates`"},
		{"twice one", []schedulingv1alpha3.PodGroupTemplate{template("a", ""), template("a", "")}, "spec.podGroupTemplates[1]: Duplicate value: {\"name\":\"a\",\"schedulingPolicy\":{\"gang\":{\"minCount\":2}},\"schedulingConstraints\":null}"},
		{"two classes", []schedulingv1alpha3.PodGroupTemplate{template("a", "x"), template("b", "y")}, "spec: Invalid value: null: detected multiple priority configurations"},
		{"no name", []schedulingv1alpha3.PodGroupTemplate{template("", "")}, "spec.podGroupTemplates[0].name: Required value"},
	} {
		w := &schedulingv1alpha3.Workload{Spec: schedulingv1alpha3.WorkloadSpec{PodGroupTemplates: c.templates}}
		w.Spec.CompositePodGroupTemplates = []schedulingv1alpha3.CompositePodGroupTemplate{{Name: "c"}}
		kind.PrepareCreate(w)
		if got := said(kind.Validate(w)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	old := &schedulingv1alpha3.Workload{Spec: schedulingv1alpha3.WorkloadSpec{PodGroupTemplates: []schedulingv1alpha3.PodGroupTemplate{template("a", "")}}}
	w := old.DeepCopy()
	w.Spec.PodGroupTemplates[0].SchedulingPolicy = gang(9)
	if got := said(kind.ValidateUpdate(w, old)); got != "" {
		t.Errorf("minCount cannot be changed: %s", got)
	}
	w.Spec.PodGroupTemplates = append(w.Spec.PodGroupTemplates, template("b", ""))
	if got := said(kind.ValidateUpdate(w, old)); got != "spec.podGroupTemplates[1]: Forbidden: item may not be added" {
		t.Error(got)
	}
}
