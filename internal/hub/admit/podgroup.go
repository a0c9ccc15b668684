package admit

import (
	"context"
	"slices"

	"sampan.dev/internal/api/scheduling"

	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
)

// groupInUse gives new PodGroups a finalizer, so that they stay while there are pods of theirs. The controller of the same name takes it
// off again.
type groupInUse struct{}

func (groupInUse) Name() string { return "PodGroupProtection" }

func (groupInUse) Admit(_ context.Context, a *Attributes) error {
	g, ok := a.Object.(*schedulingv1alpha3.PodGroup)
	if ok && a.Operation == Create && a.Subresource == "" && !slices.Contains(g.Finalizers, scheduling.GroupFinalizer) {
		g.Finalizers = append(slices.Clone(g.Finalizers), scheduling.GroupFinalizer)
	}
	return nil
}
