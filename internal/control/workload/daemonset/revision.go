package daemonset

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control/workload/history"
	"sampan.dev/internal/control/workload/podcontrol"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

const hashLabel = appsv1.DefaultDaemonSetUniqueLabelKey

// revisionsOf finds the revision of the set's template, which is written if it is missing and made the newest, and the older
// ones.
func (c *controller) revisionsOf(ctx context.Context, key string, ds *appsv1.DaemonSet, selector labels.Selector) (current *appsv1.ControllerRevision, old []*appsv1.ControllerRevision, err error) {
	all, err := c.history.Claim(ctx, key, ds, selector, true)
	if err != nil {
		return nil, nil, err
	}
	data, err := history.Patch(&ds.Spec.Template)
	if err != nil {
		return nil, nil, err
	}
	var same []*appsv1.ControllerRevision
	for _, r := range all {
		if _, ok := r.Labels[hashLabel]; !ok {
			labelled := r.DeepCopy()
			labelled.Labels = maps.Clone(labelled.Labels)
			if labelled.Labels == nil {
				labelled.Labels = map[string]string{}
			}
			labelled.Labels[hashLabel] = r.Name // which is no other's, whatever its hash
			if r, err = c.history.Update(ctx, key, labelled); err != nil {
				return nil, nil, err
			}
		}
		if history.Holds(r, data) {
			same = append(same, r)
		} else {
			old = append(old, r)
		}
	}
	number := history.Newest(old) + 1
	if len(same) == 0 {
		current, err = c.newRevision(ctx, key, ds, data, number)
		return current, old, err
	}
	if current, err = c.deduplicate(ctx, key, ds, selector, same); err != nil {
		return nil, nil, err
	}
	if current.Revision < number {
		current, err = c.history.Renumber(ctx, key, current, number)
	}
	return current, old, err
}

// deduplicate keeps the newest of revisions with the same data; the pods of the others become pods of it.
func (c *controller) deduplicate(ctx context.Context, key string, ds *appsv1.DaemonSet, selector labels.Selector, same []*appsv1.ControllerRevision) (*appsv1.ControllerRevision, error) {
	kept := same[len(same)-1]
	if len(same) == 1 {
		return kept, nil
	}
	pods, err := c.ownPods(ctx, key, ds, selector)
	if err != nil {
		return nil, err
	}
	for _, p := range pods {
		if p.Labels[hashLabel] == kept.Labels[hashLabel] {
			continue
		}
		ref := client.Ref{Resource: client.Pods, Namespace: p.Namespace, Name: p.Name}
		out, err := client.MergePatch(ctx, c.Door, ref, map[string]any{"metadata": map[string]any{
			"uid": p.UID, "labels": map[string]any{hashLabel: kept.Labels[hashLabel]},
		}})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if patched, ok := out.(*corev1.Pod); ok {
			c.ledger.Wrote(key, c.podsView, patched)
		}
	}
	for _, r := range same[:len(same)-1] {
		if err := c.history.Delete(ctx, key, r); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// newRevision writes a revision of the set's template. A name that another revision has is counted in the status as a collision
// of hashes, and another name found by the next look.
func (c *controller) newRevision(ctx context.Context, key string, ds *appsv1.DaemonSet, data []byte, number int64) (*appsv1.ControllerRevision, error) {
	hash := podcontrol.TemplateHash(&ds.Spec.Template, ds.Status.CollisionCount)
	labels := maps.Clone(ds.Spec.Template.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[hashLabel] = hash
	r := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: ds.Namespace, Name: ds.Name + "-" + hash,
			Labels: labels, Annotations: ds.Annotations, OwnerReferences: c.history.OwnerRef(ds),
		},
		Data: runtime.RawExtension{Raw: data}, Revision: number,
	}
	out, taken := c.history.Create(ctx, key, r)
	if !apierrors.IsAlreadyExists(taken) {
		return out, taken
	}
	have, err := c.history.Read(ctx, key, r.Namespace, r.Name)
	if err != nil || history.Holds(have, data) {
		return have, err // the latter: written by a look whose answer was lost
	}
	fresh, err := client.Get[*appsv1.DaemonSet](ctx, c.Door, client.DaemonSets, ds.Namespace, ds.Name)
	if err != nil {
		return nil, err
	}
	if fresh.UID != ds.UID || collisions(fresh) != collisions(ds) {
		return nil, fmt.Errorf("found a stale collision count (%d, expected %d) of DaemonSet %q while processing; will retry until it is updated", collisions(ds), collisions(fresh), ds.Name)
	}
	fresh = fresh.DeepCopy()
	n := collisions(ds) + 1
	fresh.Status.CollisionCount = &n
	written, err := client.UpdateStatus(ctx, c.Door, client.DaemonSets, fresh)
	if err != nil {
		return nil, err
	}
	c.ledger.Wrote(key, c.setsView, written)
	c.Log.Info("hash collision", "key", key, "revision", r.Name, "collision_count", n)
	return nil, taken
}

func collisions(ds *appsv1.DaemonSet) int32 {
	if ds.Status.CollisionCount == nil {
		return 0
	}
	return *ds.Status.CollisionCount
}

// truncate deletes the oldest revisions beyond the set's limit that none of its pods has.
func (c *controller) truncate(ctx context.Context, key string, ds *appsv1.DaemonSet, pods []*corev1.Pod, old []*appsv1.ControllerRevision) error {
	surplus := len(old) - int(*ds.Spec.RevisionHistoryLimit)
	for _, r := range old { // in their order
		if surplus <= 0 {
			return nil
		}
		if slices.ContainsFunc(pods, func(p *corev1.Pod) bool {
			return p.Labels[hashLabel] != "" && p.Labels[hashLabel] == r.Labels[hashLabel]
		}) {
			continue
		}
		if err := c.history.Delete(ctx, key, r); err != nil {
			return fmt.Errorf("failed to clean up revisions of DaemonSet: %w", err)
		}
		surplus--
	}
	return nil
}
