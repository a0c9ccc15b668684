package verb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/verb/meta"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// bind assigns a pod to a node: pods/binding and the older bindings resource.
func (e *Engine) bind(ctx context.Context, req *Request, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error) {
	b, ok := obj.(*corev1.Binding)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Binding object: %T", obj))
	}
	t, err := e.target(e.cfg.Catalog.Now().Kinds().Resource(client.Pods))
	if err != nil {
		return nil, err
	}
	defer t.release()
	key, err := t.key(req.Ref.Namespace, b.Name)
	if err != nil {
		return nil, err
	}
	dry := meta.DryRun(opts.DryRun)
	named := namedKey(key, dry)
	_, _, err = e.change(ctx, t, key, func(old api.Object, _ bool) (plan, error) {
		if old == nil {
			return plan{}, apierrors.NewNotFound(t.kind.GR(), b.Name)
		}
		if err := checkPreconditions(t.kind, named, b.Name, b.UID, old); err != nil {
			return plan{}, err
		}
		if b.ResourceVersion != "" && b.ResourceVersion != old.GetResourceVersion() {
			return plan{}, preconditionFailed(t.kind, named, b.Name, "ResourceVersion", b.ResourceVersion, old.GetResourceVersion())
		}
		pod, err := assigned(old.(*corev1.Pod), b)
		if err != nil {
			return plan{}, apierrors.NewConflict(schema.GroupResource{Resource: "pods/binding"}, b.Name, err)
		}
		return plan{act: write, obj: pod, dry: dry, changes: true}, nil
	})
	if err != nil {
		return nil, err
	}
	return &metav1.Status{Status: metav1.StatusSuccess}, nil
}

// assigned is pod on the node that b names, or why it cannot be.
func assigned(old *corev1.Pod, b *corev1.Binding) (*corev1.Pod, error) {
	switch {
	case old.DeletionTimestamp != nil:
		return nil, fmt.Errorf("pod %s is being deleted, cannot be assigned to a host", old.Name)
	case old.Spec.NodeName != "":
		return nil, fmt.Errorf("pod %v is already assigned to node %q", old.Name, old.Spec.NodeName)
	case len(old.Spec.SchedulingGates) > 0:
		return nil, errors.New("pod " + old.Name + " has non-empty .spec.schedulingGates")
	}
	// What does not change is shared with the old version, which is as frozen as this one will be.
	bound := *old
	pod := &bound
	pod.Spec.NodeName = b.Target.Name
	pod.Status.NominatedNodeName = ""
	pod.Annotations = with(pod.Annotations, b.Annotations)
	pod.Labels = with(pod.Labels, b.Labels)
	pod.Status.Conditions = slices.Clone(pod.Status.Conditions)
	setPodCondition(pod, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue})
	return pod, nil
}

// with returns have with more in it; it changes neither.
func with(have, more map[string]string) map[string]string {
	if len(more) == 0 {
		return have
	}
	out := make(map[string]string, len(have)+len(more))
	maps.Copy(out, have)
	maps.Copy(out, more)
	return out
}

// setPodCondition adds or replaces a condition; its transition time moves only with its status.
func setPodCondition(pod *corev1.Pod, c corev1.PodCondition) {
	c.LastTransitionTime = meta.Now()
	for i := range pod.Status.Conditions {
		have := &pod.Status.Conditions[i]
		if have.Type != c.Type {
			continue
		}
		if have.Status == c.Status {
			c.LastTransitionTime = have.LastTransitionTime
		}
		*have = c
		return
	}
	pod.Status.Conditions = append(pod.Status.Conditions, c)
}
