package bootstrap

import (
	"context"
	"fmt"
	"maps"
	"strconv"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/fairness"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// flowObjects are the priority levels and flow schemas that every cluster has. Mandatory ones are always put right; of the others
// an administrator may say, in an annotation, that they are his.
func flowObjects() []wanted {
	schemas := wanted{resource: client.FlowSchemas, stray: strayFlow, reconcile: reconcileFlow}
	levels := wanted{resource: client.PriorityLevels, stray: strayFlow, reconcile: reconcileFlow}
	allSchemas, allLevels := fairness.Defaults()
	for _, s := range allSchemas {
		schemas.objects = append(schemas.objects, s)
	}
	for _, l := range allLevels {
		levels.objects = append(levels.objects, l)
	}
	return []wanted{levels, schemas}
}

func reconcileFlow(have, want api.Object) (api.Object, bool) {
	return flowUpdate(have, want, fairness.Mandatory(want.GetName())), false
}

// ensureFlow makes them what they should be, and takes away those that were the server's and are no more.
func ensureFlow(ctx context.Context, door client.Interface) error {
	return ensure(ctx, door, flowObjects())
}

// autoUpdate reads the annotation that says whose an object is. Without it, one that nobody has changed is the server's.
func autoUpdate(o api.Object) bool {
	if is, err := strconv.ParseBool(o.GetAnnotations()[fairness.AutoUpdate]); err == nil {
		return is
	}
	return o.GetGeneration() == 1
}

// strayFlow tells of an object that is marked as the server's own; it is asked of those that are not wanted.
func strayFlow(o api.Object) bool {
	is, err := strconv.ParseBool(o.GetAnnotations()[fairness.AutoUpdate])
	return err == nil && is
}

// flowUpdate is have made what it should be, nil if it is.
func flowUpdate(have, want api.Object, mandatory bool) api.Object {
	ours := mandatory || autoUpdate(have)
	obj := have.DeepCopyObject().(api.Object)
	changed := ours && !sameFlow(have, want)
	if changed {
		setFlow(obj, want)
	}
	marked, err := strconv.ParseBool(have.GetAnnotations()[fairness.AutoUpdate])
	if err != nil || marked != ours {
		annotations := maps.Clone(have.GetAnnotations())
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[fairness.AutoUpdate] = strconv.FormatBool(ours)
		obj.SetAnnotations(annotations)
		changed = true
	}
	if !changed {
		return nil
	}
	return obj
}

// sameFlow compares specs. What the exempt level lends is an administrator's to set.
func sameFlow(have, want api.Object) bool {
	switch h := have.(type) {
	case *flowcontrolv1.FlowSchema:
		return equality.Semantic.DeepEqual(h.Spec, want.(*flowcontrolv1.FlowSchema).Spec)
	case *flowcontrolv1.PriorityLevelConfiguration:
		spec := want.(*flowcontrolv1.PriorityLevelConfiguration).Spec
		if h.Spec.Exempt != nil && spec.Exempt != nil {
			spec.Exempt = h.Spec.Exempt
		}
		return equality.Semantic.DeepEqual(h.Spec, spec)
	}
	panic(fmt.Sprintf("bootstrap: %T is no object of flow control", have))
}

func setFlow(obj, want api.Object) {
	switch o := obj.(type) {
	case *flowcontrolv1.FlowSchema:
		o.Spec = want.(*flowcontrolv1.FlowSchema).DeepCopy().Spec
	case *flowcontrolv1.PriorityLevelConfiguration:
		o.Spec = want.(*flowcontrolv1.PriorityLevelConfiguration).DeepCopy().Spec
	}
}

// removeStrays deletes what is there, not wanted and a stray.
func removeStrays(ctx context.Context, door client.Interface, w wanted, have map[string]api.Object, g *crew) {
	if w.stray == nil {
		return
	}
	is := map[string]bool{}
	for _, o := range w.objects {
		is[o.GetNamespace()+"/"+o.GetName()] = true
	}
	for key, o := range have {
		if is[key] || !w.stray(o) {
			continue
		}
		g.Go(func() error {
			err := client.Delete(ctx, door, w.resource, o.GetNamespace(), o.GetName(), o.GetUID())
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				return fmt.Errorf("bootstrap %s %s: %w", w.resource.Resource, o.GetName(), err)
			}
			return nil
		})
	}
}
