package statefulset

import (
	"context"
	"maps"
	"slices"

	"sampan.dev/internal/control/workload/history"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// revisions are the two that a set's pods may be of: the one that it rolls out, and the one that all had before.
type revisions struct {
	current, update *appsv1.ControllerRevision
	updated         *appsv1.StatefulSet // the set with the template of update
	collisions      int32               // names of revisions that were taken by others, so far
}

// currentSet is the set with the template of the current revision.
func (r *revisions) currentSet(set *appsv1.StatefulSet) (*appsv1.StatefulSet, error) {
	if r.current.Name == r.update.Name {
		return r.updated, nil
	}
	return restored(set, r.current)
}

// restored is a set with the template of a revision.
func restored(set *appsv1.StatefulSet, r *appsv1.ControllerRevision) (*appsv1.StatefulSet, error) {
	template, err := history.Template(r.Data.Raw)
	if err != nil {
		return nil, err
	}
	out := *set
	out.Spec.Template = *template
	return &out, nil
}

// revisionsOf finds the set's revisions among all, which are in their order, and writes the one that is missing: for a template
// that has none a new one is made; one that an older revision has makes that the newest. It returns nil for a set that is being
// deleted and whose revision is not there (any more).
func (c *controller) revisionsOf(ctx context.Context, key string, set *appsv1.StatefulSet, all []*appsv1.ControllerRevision) (*revisions, error) {
	data, err := history.Patch(&set.Spec.Template)
	if err != nil {
		return nil, err
	}
	out := &revisions{updated: set}
	if set.Status.CollisionCount != nil {
		out.collisions = *set.Status.CollisionCount
	}
	next := history.Newest(all) + 1
	var last, equal *appsv1.ControllerRevision
	for _, r := range all {
		last = r
		if history.Holds(r, data) {
			equal = r
		}
	}
	switch {
	case equal != nil && history.Holds(last, data):
		out.update = last
	case equal != nil && set.DeletionTimestamp != nil:
		out.update = equal
	case equal != nil:
		out.update, err = c.history.Renumber(ctx, key, equal, next)
	case last != nil && c.meansTheSame(set, last, data):
		out.update = last
		out.updated, err = restored(set, last)
	case set.DeletionTimestamp != nil:
		return nil, nil
	default:
		out.update, err = c.newRevision(ctx, key, set, data, next, &out.collisions)
	}
	if err != nil {
		return nil, err
	}
	out.current = out.update
	if i := slices.IndexFunc(all, func(r *appsv1.ControllerRevision) bool { return r.Name == set.Status.CurrentRevision }); i >= 0 && out.update.Name != all[i].Name {
		out.current = all[i]
	}
	return out, nil
}

// meansTheSame reports whether the newest revision differs from the set's template in how it is written only: one that an
// earlier release of the API wrote lacks defaults, or has fields that are no longer written. No rollout comes of that.
func (c *controller) meansTheSame(set *appsv1.StatefulSet, last *appsv1.ControllerRevision, data []byte) bool {
	was, err := restored(set, last)
	if err != nil {
		return false
	}
	was = was.DeepCopy() // the defaults are filled into it
	c.complete(was)
	again, err := history.Patch(&was.Spec.Template)
	return err == nil && string(again) == string(data)
}

// newRevision writes a revision of the set's template. A name that another revision has is counted as a collision, and the next
// one tried; one with the same data is the one that is wanted, written by a look whose answer was lost.
func (c *controller) newRevision(ctx context.Context, key string, set *appsv1.StatefulSet, data []byte, number int64, collisions *int32) (*appsv1.ControllerRevision, error) {
	hash := history.Hash(data, collisions)
	labels := maps.Clone(set.Spec.Template.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[history.HashLabel] = hash
	r := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: set.Namespace, Name: history.Name(set.Name, hash),
			Labels: labels, Annotations: set.Annotations, OwnerReferences: c.history.OwnerRef(set),
		},
		Data: runtime.RawExtension{Raw: data}, Revision: number,
	}
	for {
		out, err := c.history.Create(ctx, key, r)
		if !apierrors.IsAlreadyExists(err) {
			return out, err
		}
		have, err := c.history.Read(ctx, key, set.Namespace, r.Name)
		if err != nil || history.Holds(have, data) {
			return have, err
		}
		*collisions++
		r.Name = history.Name(set.Name, history.Hash(data, collisions)) // the label stays that of the first try, as upstream's does
	}
}

// truncate deletes the oldest revisions beyond the set's limit that neither it nor any of its pods has.
func (c *controller) truncate(ctx context.Context, key string, set *appsv1.StatefulSet, pods []*corev1.Pod, all []*appsv1.ControllerRevision, rev *revisions) error {
	live := map[string]bool{rev.current.Name: true, rev.update.Name: true}
	for _, p := range pods {
		live[revisionOf(p)] = true
	}
	old := slices.DeleteFunc(slices.Clone(all), func(r *appsv1.ControllerRevision) bool { return live[r.Name] })
	limit := int(*set.Spec.RevisionHistoryLimit)
	if limit < 0 || len(old) <= limit || set.DeletionTimestamp != nil {
		return nil
	}
	for _, r := range old[:len(old)-limit] {
		if err := c.history.Delete(ctx, key, r); err != nil {
			return err
		}
	}
	return nil
}
