package verb

import (
	"context"
	"fmt"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/verb/meta"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// evict deletes a pod gracefully and says on it why. Disruption budgets, once they are served, are asked here.
func (e *Engine) evict(ctx context.Context, req *Request, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error) {
	ev, ok := obj.(*policyv1.Eviction)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Eviction object: %T", obj))
	}
	del := metav1.DeleteOptions{DryRun: opts.DryRun}
	if ev.DeleteOptions != nil {
		del = *ev.DeleteOptions.DeepCopy()
		switch {
		case len(del.DryRun) == 0:
			del.DryRun = opts.DryRun
		case len(opts.DryRun) > 0 && !slices.Equal(del.DryRun, opts.DryRun):
			return nil, unknownError(fmt.Sprintf("Non-matching dry-run options in request and content: %v and %v", opts.DryRun, del.DryRun))
		}
	}
	if !meta.DryRun(del.DryRun) {
		if err := e.markDisrupted(ctx, req, &del); err != nil {
			return nil, err
		}
	}
	one := *req
	one.Ref.Subresource = ""
	if _, _, err := e.Delete(ctx, &one, del); err != nil {
		return nil, err
	}
	return &metav1.Status{Status: metav1.StatusSuccess}, nil
}

// markDisrupted adds the DisruptionTarget condition. A resourceVersion precondition moves with the write.
func (e *Engine) markDisrupted(ctx context.Context, req *Request, del *metav1.DeleteOptions) error {
	t, err := e.target(req.Kind)
	if err != nil {
		return err
	}
	defer t.release()
	res, _, err := e.change(ctx, t, t.stored.Key(req.Ref.Namespace, req.Ref.Name), func(old api.Object, _ bool) (plan, error) {
		if old == nil {
			return plan{}, apierrors.NewNotFound(t.kind.GR(), req.Ref.Name)
		}
		if err := deletePreconditions(t.kind, old, del); err != nil {
			return plan{}, err
		}
		pod := old.(*corev1.Pod).DeepCopy()
		setPodCondition(pod, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
			Reason: "EvictionByEvictionAPI", Message: "Eviction API: evicting",
		})
		return plan{act: write, obj: pod}, nil
	})
	if err != nil {
		return err
	}
	if del.Preconditions != nil && del.Preconditions.ResourceVersion != nil {
		obj, err := res.Meta()
		if err != nil {
			return apierrors.NewInternalError(err)
		}
		del.Preconditions.ResourceVersion = new(obj.GetResourceVersion())
	}
	return nil
}
