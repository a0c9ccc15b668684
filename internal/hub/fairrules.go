package hub

import (
	"context"
	"fmt"
	"math"

	"sampan.dev/internal/client"
	informers "sampan.dev/internal/client/cache"
	"sampan.dev/internal/hub/fairness"
	"sampan.dev/internal/hub/flow"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// newFairness makes priority and fairness with as many seats as the two limits are together. Its rules follow the FlowSchemas and
// PriorityLevelConfigurations that are stored; until those are known they are upstream's defaults.
func (h *Hub) newFairness() *fairness.Fairness {
	reads, writes := under(h.cfg.MaxReads, flow.DefaultReads), under(h.cfg.MaxWrites, flow.DefaultWrites)
	seats := reads + writes
	if reads == 0 || writes == 0 {
		seats = math.MaxInt32 // any number
	}
	f := fairness.New(seats)
	if h.cfg.Kinds.Resource(client.FlowSchemas) == nil {
		return f
	}
	schemas := informers.For[*flowcontrolv1.FlowSchema](h.set, client.FlowSchemas, informers.Options{})
	levels := informers.For[*flowcontrolv1.PriorityLevelConfiguration](h.set, client.PriorityLevels, informers.Options{})
	changed := func() {
		select {
		case <-schemas.Synced():
		default:
			return
		}
		select {
		case <-levels.Synced():
		default:
			return
		}
		f.Set(schemas.List(""), levels.List(""))
		select {
		case h.flowDue <- struct{}{}:
		default:
		}
	}
	schemas.Handle(informers.Handler[*flowcontrolv1.FlowSchema]{
		Add: func(*flowcontrolv1.FlowSchema) { changed() }, Update: func(_, _ *flowcontrolv1.FlowSchema) { changed() },
		Delete: func(*flowcontrolv1.FlowSchema) { changed() }, Told: changed,
	})
	levels.Handle(informers.Handler[*flowcontrolv1.PriorityLevelConfiguration]{
		Add: func(*flowcontrolv1.PriorityLevelConfiguration) { changed() }, Update: func(_, _ *flowcontrolv1.PriorityLevelConfiguration) { changed() },
		Delete: func(*flowcontrolv1.PriorityLevelConfiguration) { changed() }, Told: changed,
	})
	return f
}

// tellFlow writes into the status of FlowSchemas whether the level that they name is there.
func (h *Hub) tellFlow(ctx context.Context) {
	schemas, err := client.ListAll[*flowcontrolv1.FlowSchema](ctx, h.own, client.FlowSchemas, "", metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return // it is told at the next change
	}
	levels, err := client.ListAll[*flowcontrolv1.PriorityLevelConfiguration](ctx, h.own, client.PriorityLevels, "", metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return
	}
	known := map[string]bool{}
	for _, l := range levels {
		known[l.Name] = true
	}
	for _, s := range schemas {
		out := dangling(s, known[s.Spec.PriorityLevelConfiguration.Name])
		if out == nil {
			continue
		}
		if _, err := client.UpdateStatus(ctx, h.own, client.FlowSchemas, out); err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			h.log.Warn("tell a flow schema whether its level is there", "flow_schema", s.Name, "error", err)
		}
	}
}

// dangling is a schema that says whether its level is there; nil where it says so already. The words are upstream's.
func dangling(s *flowcontrolv1.FlowSchema, found bool) *flowcontrolv1.FlowSchema {
	level := s.Spec.PriorityLevelConfiguration.Name
	want := flowcontrolv1.FlowSchemaCondition{Type: flowcontrolv1.FlowSchemaConditionDangling, Status: flowcontrolv1.ConditionFalse, Reason: "Found",
		Message: fmt.Sprintf("This FlowSchema references the PriorityLevelConfiguration object named %q and it exists", level)}
	if !found {
		want.Status, want.Reason = flowcontrolv1.ConditionTrue, "NotFound"
		want.Message = fmt.Sprintf("This FlowSchema references the PriorityLevelConfiguration object named %q but there is no such object", level)
	}
	out := s.DeepCopy()
	for i := range out.Status.Conditions {
		c := &out.Status.Conditions[i]
		if c.Type != want.Type {
			continue
		}
		if c.Status == want.Status && c.Reason == want.Reason && c.Message == want.Message {
			return nil
		}
		want.LastTransitionTime = c.LastTransitionTime
		if c.Status != want.Status {
			want.LastTransitionTime = metav1.Now()
		}
		*c = want
		return out
	}
	want.LastTransitionTime = metav1.Now()
	out.Status.Conditions = append(out.Status.Conditions, want)
	return out
}
