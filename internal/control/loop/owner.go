package loop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Claim is what an owner has to do about an object that it might own.
type Claim int

// The claims.
const (
	Foreign Claim = iota // not its own, leave it alone
	Owned                // its own already
	Adopt                // nobody's, and selected
	Release              // its own, and no longer selected
)

// ClaimOn decides about one object. An owner that is being deleted neither adopts nor releases.
func ClaimOn(owner api.Object, selector labels.Selector, obj api.Object) Claim {
	return claimOn(owner, selector.Matches(labels.Set(obj.GetLabels())), obj)
}

// claimOn is ClaimOn where it is known whether the owner wants obj.
func claimOn(owner api.Object, match bool, obj api.Object) Claim {
	dying := owner.GetDeletionTimestamp() != nil
	ref := metav1.GetControllerOfNoCopy(obj)
	switch {
	case ref != nil && ref.UID != owner.GetUID():
		return Foreign
	case ref != nil && match:
		return Owned
	case ref != nil && !dying:
		return Release
	case ref != nil:
		return Foreign
	case !match || dying || obj.GetDeletionTimestamp() != nil || obj.GetNamespace() != owner.GetNamespace():
		return Foreign
	}
	return Adopt
}

// Claimer carries claims out by patches that fail when the object has been replaced by another of its name.
type Claimer struct {
	Door     client.Interface
	Resource schema.GroupVersionResource // of the objects

	Owner         api.Object
	OwnerKind     schema.GroupVersionKind
	OwnerResource schema.GroupVersionResource
	Selector      labels.Selector
	Finalizer     string // that objects of the owner carry; "" for none

	// Member, when set, is what an object has to be besides selected: the pods of a StatefulSet are named after it.
	Member func(obj api.Object) bool

	// Wrote is told of each patched object, for the ledger. May be nil.
	Wrote func(obj api.Object)

	checked  bool
	checkErr error
}

// ClaimAll returns those of objs that are the owner's now, after adopting and releasing. Errors are joined; the objects
// they concern are left out.
func ClaimAll[T api.Object](ctx context.Context, c *Claimer, objs []T) ([]T, error) {
	var mine []T
	var errs []error
	for _, obj := range objs {
		switch claimOn(c.Owner, c.wants(obj), obj) {
		case Owned:
			mine = append(mine, obj)
		case Adopt:
			switch err := c.adopt(ctx, obj); {
			case err == nil:
				mine = append(mine, obj)
			case !apierrors.IsNotFound(err):
				errs = append(errs, err)
			}
		case Release:
			if err := c.release(ctx, obj); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return mine, errors.Join(errs...)
}

// wants reports whether the owner selects obj and obj can be its own.
func (c *Claimer) wants(obj api.Object) bool {
	return c.Selector.Matches(labels.Set(obj.GetLabels())) && (c.Member == nil || c.Member(obj))
}

// adopt makes the owner the controller of obj. Before the first adoption it reads the owner anew: adopting on a stale view
// of an owner that is being deleted would undo an orphaning.
func (c *Claimer) adopt(ctx context.Context, obj api.Object) error {
	if !c.checked {
		c.checked, c.checkErr = true, c.ownerLives(ctx)
	}
	if c.checkErr != nil {
		return fmt.Errorf("adopt %s %s: %w", c.Resource.Resource, Key(obj), c.checkErr)
	}
	return c.patch(ctx, obj, metav1.NewControllerRef(c.Owner, c.OwnerKind), "finalizers")
}

func (c *Claimer) ownerLives(ctx context.Context) error {
	ref := client.Ref{Resource: c.OwnerResource, Namespace: c.Owner.GetNamespace(), Name: c.Owner.GetName()}
	got, err := c.Door.Get(ctx, ref, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read owner anew: %w", err)
	}
	fresh, ok := got.(api.Object)
	if !ok {
		return fmt.Errorf("read owner anew: answer is %T", got)
	}
	if fresh.GetUID() != c.Owner.GetUID() {
		return fmt.Errorf("original %s %s is gone: got uid %s, wanted %s", c.OwnerKind.Kind, Key(c.Owner), fresh.GetUID(), c.Owner.GetUID())
	}
	if at := fresh.GetDeletionTimestamp(); at != nil {
		return fmt.Errorf("%s has just been deleted at %v", Key(c.Owner), at)
	}
	return nil
}

// release takes the owner's reference off obj. An object that is gone or was replaced is released already.
func (c *Claimer) release(ctx context.Context, obj api.Object) error {
	err := c.patch(ctx, obj, map[string]any{"$patch": "delete", "uid": c.Owner.GetUID()}, "$deleteFromPrimitiveList/finalizers")
	if apierrors.IsNotFound(err) || apierrors.IsInvalid(err) {
		return nil
	}
	return err
}

// patch changes a reference and, under the name of what is to be done to the list, the finalizer of an object.
func (c *Claimer) patch(ctx context.Context, obj api.Object, ownerRef any, finalizers string) error {
	meta := map[string]any{"uid": obj.GetUID(), "ownerReferences": []any{ownerRef}}
	if c.Finalizer != "" {
		meta[finalizers] = []string{c.Finalizer}
	}
	data, err := json.Marshal(map[string]any{"metadata": meta})
	if err != nil {
		return err
	}
	ref := client.Ref{Resource: c.Resource, Namespace: obj.GetNamespace(), Name: obj.GetName()}
	out, err := c.Door.Patch(ctx, ref, types.StrategicMergePatchType, data, metav1.PatchOptions{})
	if err != nil {
		return err
	}
	if o, ok := out.(api.Object); ok && c.Wrote != nil {
		c.Wrote(o)
	}
	return nil
}

// OwnerIndex is an index function: objects by the UID of their controller, and those without one under "".
func OwnerIndex[T api.Object](obj T) []string {
	if ref := metav1.GetControllerOfNoCopy(obj); ref != nil {
		return []string{string(ref.UID)}
	}
	return []string{Orphans(obj.GetNamespace())}
}

// Orphans is the value in OwnerIndex of the objects of a namespace that have no controller.
func Orphans(namespace string) string { return "orphans in " + namespace }

// OwnerIndexName is the name under which informers carry OwnerIndex.
const OwnerIndexName = "controller"
