package bootstrap

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/fairness"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// flowRules are the schemas and levels of priority and fairness that every cluster has.
func flowRules() []wanted {
	schemas, levels := fairness.Defaults()
	s := wanted{resource: client.FlowSchemas, reconcile: keepFlowRule}
	for _, o := range schemas {
		s.objects = append(s.objects, o)
	}
	l := wanted{resource: client.PriorityLevels, reconcile: keepFlowRule}
	for _, o := range levels {
		l.objects = append(l.objects, o)
	}
	return []wanted{s, l}
}

// keepFlowRule gives back what a schema or a level should be, unless somebody has it otherwise: the annotation says whether the server
// may, and where there is none, that nobody has changed it yet. What cannot be done without is given back in any case.
func keepFlowRule(have, want api.Object) (api.Object, bool) {
	auto, said := have.GetAnnotations()[fairness.AutoUpdate]
	ours := auto == "true" || !said && have.GetGeneration() == 1
	if !ours && !fairness.Mandatory(have.GetName()) {
		return nil, false
	}
	out := have.DeepCopyObject().(api.Object)
	same := auto == want.GetAnnotations()[fairness.AutoUpdate]
	out.SetAnnotations(merge(have.GetAnnotations(), want.GetAnnotations()))
	switch o := out.(type) {
	case *flowcontrolv1.FlowSchema:
		w := want.(*flowcontrolv1.FlowSchema)
		same = same && equality.Semantic.DeepEqual(o.Spec, w.Spec)
		o.Spec = *w.Spec.DeepCopy()
	case *flowcontrolv1.PriorityLevelConfiguration:
		w := want.(*flowcontrolv1.PriorityLevelConfiguration)
		same = same && equality.Semantic.DeepEqual(o.Spec, w.Spec)
		o.Spec = *w.Spec.DeepCopy()
	}
	if same {
		return nil, false
	}
	return out, false
}
