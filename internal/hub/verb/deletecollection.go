package verb

import (
	"context"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"golang.org/x/sync/errgroup"
)

// deletions is how many objects of a collection are deleted at a time. They cost little but the wait for the disk, which
// those that are under way together share.
const deletions = 128

// DeleteCollection deletes every object that list selects and returns them as they were. It is not atomic: on an error some
// are gone already.
func (e *Engine) DeleteCollection(ctx context.Context, req *Request, opts metav1.DeleteOptions, list metav1.ListOptions) (*Listing, error) {
	found, err := e.List(ctx, req, list)
	if err != nil {
		return nil, err
	}
	warnOfDefault(req, &opts)
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(deletions)
	var warning sync.Mutex
	warn := func(text string) {
		warning.Lock()
		defer warning.Unlock()
		req.Warn(text)
	}
	for _, item := range found.Items {
		if each.Err() != nil {
			break
		}
		group.Go(func() error {
			obj, err := item.Meta()
			if err != nil {
				return apierrors.NewInternalError(err)
			}
			one := *req
			one.Warn = warn
			one.Ref.Namespace, one.Ref.Name = obj.GetNamespace(), obj.GetName()
			_, _, err = e.Delete(ctx, &one, *opts.DeepCopy())
			if apierrors.IsNotFound(err) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, storeError(err)
	}
	return found, nil
}
