package custom

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apiextensions"
	"sampan.dev/internal/client"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// How often and how long is looked whether the objects of a definition have gone, once they are being deleted.
const (
	lookFirst = 10 * time.Millisecond
	lookLast  = time.Second
	lookFor   = time.Minute
)

// finish begins the end of a definition that is being deleted, unless that is under way: it takes as long as its objects stay.
func (r *Room) finish(ctx context.Context, d *apiextensions.Definition) {
	if !slices.Contains(d.Finalizers, apiextensionsv1.CustomResourceCleanupFinalizer) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.ending[d.UID] {
		return
	}
	r.mu.ending[d.UID] = true
	r.work.beside(func() {
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.mu.ending, d.UID)
		}()
		for wait := retryFirst; ctx.Err() == nil; wait = pause(ctx, wait) {
			done, err := r.end(ctx, d)
			if done {
				return
			}
			if err != nil {
				r.cfg.Log.Warn("custom resources are not all deleted yet", "definition", d.Name, "error", err)
			}
		}
	})
}

// end deletes the objects of a definition and then lets the definition go. It reports true when there is nothing left to do.
func (r *Room) end(ctx context.Context, d *apiextensions.Definition) (bool, error) {
	now, err := r.get(ctx, d.Name)
	if err != nil {
		return false, err
	}
	if now == nil || now.UID != d.UID || !slices.Contains(now.Finalizers, apiextensionsv1.CustomResourceCleanupFinalizer) {
		return true, nil
	}
	now, err = r.tell(ctx, now, terminating(true, "InstanceDeletionInProgress", "CustomResource deletion is in progress"))
	if err != nil || now == nil {
		return false, err
	}
	over := terminating(false, "NeverEstablished", "resource was never established")
	if apiextensions.IsTrue(now, apiextensionsv1.Established) {
		if over, err = r.deleteAll(ctx, now); err != nil {
			_, terr := r.tell(ctx, now, over)
			return false, errors.Join(err, terr)
		}
	}
	if err := r.unserve(ctx, now.Name); err != nil { // before anybody can see that the definition is gone
		return false, err
	}
	next := now.DeepCopy()
	put(next, over)
	next.Finalizers = slices.DeleteFunc(next.Finalizers, func(f string) bool { return f == apiextensionsv1.CustomResourceCleanupFinalizer })
	out, err := r.write(ctx, now, next)
	return err == nil && out != nil, err
}

func terminating(is bool, reason, message string) apiextensions.Condition {
	c := established(is, reason, message)
	c.Type = apiextensionsv1.Terminating
	return c
}

// tell writes a condition; nil says that somebody else has changed the definition.
func (r *Room) tell(ctx context.Context, d *apiextensions.Definition, c apiextensions.Condition) (*apiextensions.Definition, error) {
	next := d.DeepCopy()
	put(next, c)
	return r.write(ctx, d, next)
}

// unserve takes the kinds of a definition out of the catalog.
func (r *Room) unserve(ctx context.Context, name string) error {
	r.naming.Lock()
	defer r.naming.Unlock()
	is := r.find(name)
	if is == nil || len(is.kinds) == 0 {
		return nil
	}
	if err := r.replace(ctx, is.kinds, nil); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	is.kinds = nil
	return nil
}

// deleteAll deletes the objects of a definition and waits until they are gone, which may take longer than that: then it says how far
// it has come.
func (r *Room) deleteAll(ctx context.Context, d *apiextensions.Definition) (apiextensions.Condition, error) {
	is := r.find(d.Name)
	if is == nil || len(is.kinds) == 0 {
		return terminating(false, "InstanceDeletionCompleted", "removed all instances"), nil
	}
	left, err := r.objects(ctx, is.kinds[0])
	if err != nil {
		return terminating(true, "InstanceDeletionFailed", fmt.Sprintf("could not list instances: %v", err)), err
	}
	var errs []error
	done := map[string]bool{}
	for _, o := range left {
		if ns := o.GetNamespace(); !done[ns] {
			done[ns] = true
			ref := client.Ref{Resource: is.kinds[0].GVR(), Namespace: ns}
			if err := r.cfg.Door.DeleteCollection(ctx, ref, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
				errs = append(errs, err)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return terminating(true, "InstanceDeletionFailed", fmt.Sprintf("could not issue all deletes: %v", err)), err
	}
	if err := r.gone(ctx, is.kinds[0]); err != nil {
		return terminating(true, "InstanceDeletionCheck", fmt.Sprintf("could not confirm zero CustomResources remaining: %v", err)), err
	}
	return terminating(false, "InstanceDeletionCompleted", "removed all instances"), nil
}

// objects are those of a kind, by their metadata.
func (r *Room) objects(ctx context.Context, k *api.Kind) ([]api.Object, error) {
	l, err := r.cfg.Door.List(ctx, client.Ref{Resource: k.GVR(), Metadata: true}, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return l.Items, nil
}

// gone waits until there are no objects of a kind.
func (r *Room) gone(ctx context.Context, k *api.Kind) error {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	for wait := lookFirst; ; wait = min(pause(ctx, wait), lookLast) {
		left, err := r.objects(ctx, k)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case len(left) == 0:
			return nil
		}
	}
}
