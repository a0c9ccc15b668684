package history

import (
	"context"
	"fmt"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Store reads and writes the revisions of all owners of one kind. What it writes is noted in the ledger under the owner's key.
type Store struct {
	Kind     schema.GroupVersionKind     // of the owners
	Resource schema.GroupVersionResource // theirs

	door      client.Interface
	ledger    *loop.Ledger
	revisions *cache.Informer[*appsv1.ControllerRevision]
	view      loop.View
}

// NewStore makes a store on the shared informer of revisions, which makes the owners due when their revisions change.
func NewStore(env loop.Env, ledger *loop.Ledger, resource schema.GroupVersionResource, kind schema.GroupVersionKind, owners loop.Owners) *Store {
	revisions := cache.For[*appsv1.ControllerRevision](env.Informers, client.ControllerRevisions, cache.Options{})
	revisions.AddIndex(loop.OwnerIndexName, loop.OwnerIndex[*appsv1.ControllerRevision])
	loop.Follow(revisions, owners, nil)
	return &Store{Kind: kind, Resource: resource, door: env.Door, ledger: ledger, revisions: revisions, view: loop.ViewOf(revisions)}
}

// Synced is that of the informer.
func (s *Store) Synced() <-chan struct{} { return s.revisions.Synced() }

// Claim returns the owner's revisions that its selector matches, in their order, after adopting those that have no owner; with
// release the owner lets go of those that it no longer selects.
func (s *Store) Claim(ctx context.Context, key string, owner api.Object, selector labels.Selector, release bool) ([]*appsv1.ControllerRevision, error) {
	all := slices.Concat(s.revisions.ByIndex(loop.OwnerIndexName, string(owner.GetUID())),
		s.revisions.ByIndex(loop.OwnerIndexName, loop.Orphans(owner.GetNamespace())))
	if !release {
		all = slices.DeleteFunc(all, func(r *appsv1.ControllerRevision) bool { return !selector.Matches(labels.Set(r.Labels)) })
	}
	claimer := &loop.Claimer{
		Door: s.door, Resource: client.ControllerRevisions,
		Owner: owner, OwnerKind: s.Kind, OwnerResource: s.Resource, Selector: selector,
		Wrote: func(obj api.Object) { s.ledger.Wrote(key, s.view, obj) },
	}
	mine, err := loop.ClaimAll(ctx, claimer, all)
	if err != nil {
		return nil, fmt.Errorf("can't adopt ControllerRevisions: %w", err)
	}
	Sort(mine)
	return mine, nil
}

// Create writes a new revision.
func (s *Store) Create(ctx context.Context, key string, r *appsv1.ControllerRevision) (*appsv1.ControllerRevision, error) {
	out, err := client.Create(ctx, s.door, client.ControllerRevisions, r)
	if err != nil {
		return nil, err
	}
	s.ledger.Wrote(key, s.view, out)
	return out, nil
}

// Read returns the revision of a name as it is in the hub now, and has the owner wait until the view shows it.
func (s *Store) Read(ctx context.Context, key, namespace, name string) (*appsv1.ControllerRevision, error) {
	r, err := client.Get[*appsv1.ControllerRevision](ctx, s.door, client.ControllerRevisions, namespace, name)
	if err != nil {
		return nil, err
	}
	s.ledger.Wrote(key, s.view, r)
	return r, nil
}

// Update replaces a revision.
func (s *Store) Update(ctx context.Context, key string, r *appsv1.ControllerRevision) (*appsv1.ControllerRevision, error) {
	out, err := client.Update(ctx, s.door, client.ControllerRevisions, r)
	if err != nil {
		return nil, fmt.Errorf("update revision %s: %w", r.Name, err)
	}
	s.ledger.Wrote(key, s.view, out)
	return out, nil
}

// Renumber makes a revision the one of a number.
func (s *Store) Renumber(ctx context.Context, key string, r *appsv1.ControllerRevision, number int64) (*appsv1.ControllerRevision, error) {
	r = r.DeepCopy()
	r.Revision = number
	return s.Update(ctx, key, r)
}

// Delete deletes a revision. One that is gone is deleted.
func (s *Store) Delete(ctx context.Context, key string, r *appsv1.ControllerRevision) error {
	err := client.Delete(ctx, s.door, client.ControllerRevisions, r.Namespace, r.Name, r.UID)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete revision %s: %w", r.Name, err)
	}
	s.ledger.Deleted(key, s.view, r)
	return nil
}

// OwnerRef is the reference that the owner's revisions carry.
func (s *Store) OwnerRef(owner api.Object) []metav1.OwnerReference {
	return []metav1.OwnerReference{*metav1.NewControllerRef(owner, s.Kind)}
}
