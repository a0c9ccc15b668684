package verb

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DeleteCollection deletes every object that list selects, one after another, and returns them as they were. It is not
// atomic: on an error some are gone already.
func (e *Engine) DeleteCollection(ctx context.Context, req *Request, opts metav1.DeleteOptions, list metav1.ListOptions) (*Listing, error) {
	found, err := e.List(ctx, req, list)
	if err != nil {
		return nil, err
	}
	for _, item := range found.Items {
		obj, err := item.Meta()
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		one := *req
		one.Ref.Namespace, one.Ref.Name = obj.GetNamespace(), obj.GetName()
		if _, _, err := e.Delete(ctx, &one, *opts.DeepCopy()); err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	return found, nil
}
