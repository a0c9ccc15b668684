package custom

import (
	"context"

	"sampan.dev/internal/api/apiextensions"
	"sampan.dev/internal/client"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// get reads a definition; nil when there is none of that name.
func (r *Room) get(ctx context.Context, name string) (*apiextensions.Definition, error) {
	d, err := client.Get[*apiextensions.Definition](ctx, r.cfg.Door, client.CustomResourceDefinitions, "", name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return d, err
}

// write makes the status, and the finalizers, of a definition those of next, if they differ, and returns what is stored. It is nil
// when the definition has gone or changed meanwhile: then it is worked on again.
func (r *Room) write(ctx context.Context, d, next *apiextensions.Definition) (*apiextensions.Definition, error) {
	if apiequality.Semantic.DeepEqual(d.Status, next.Status) && len(d.Finalizers) == len(next.Finalizers) {
		return d, nil
	}
	out, err := client.UpdateStatus(ctx, r.cfg.Door, client.CustomResourceDefinitions, next)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil, nil
	}
	return out, err
}
