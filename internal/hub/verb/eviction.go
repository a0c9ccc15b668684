package verb

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/verb/disruption"
	"sampan.dev/internal/hub/verb/meta"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// evict deletes a pod gracefully, says on it why, and counts it against the disruption budget that it has. A pod that serves
// nobody, because it has not started or has ended, is deleted whatever its budget says.
func (e *Engine) evict(ctx context.Context, req *Request, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error) {
	ev, ok := obj.(*policyv1.Eviction)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Eviction object: %T", obj))
	}
	del, err := evictOptions(ev, &opts)
	if err != nil {
		return nil, err
	}
	bound := del.Preconditions != nil && del.Preconditions.ResourceVersion != nil // to a state of the pod, by the caller
	for attempt := 1; ; attempt++ {
		pod, err := e.evicted(ctx, req)
		if err != nil {
			return nil, err
		}
		if !disruption.Serving(pod) {
			one := *del.DeepCopy()
			if !bound && pod.Status.Phase == corev1.PodPending && pod.DeletionTimestamp == nil { // it may become ready meanwhile
				require(&one, pod.ResourceVersion)
			}
			if err = e.remove(ctx, req, one); err == nil {
				break
			}
			if !apierrors.IsConflict(err) || bound || attempt == evictionAttempts {
				return nil, err
			}
			if err := pause(ctx, evictionPause); err != nil {
				return nil, err
			}
			continue
		}
		if err := e.evictServing(ctx, req, pod, *del, bound); err != nil {
			return nil, err
		}
		break
	}
	return &metav1.Status{Status: metav1.StatusSuccess}, nil
}

// Upstream's figures.
const (
	evictionAttempts = 20
	evictionPause    = 500 * time.Millisecond
)

// evictServing asks the pod's budget and deletes it.
func (e *Engine) evictServing(ctx context.Context, req *Request, pod *corev1.Pod, del metav1.DeleteOptions, bound bool) error {
	budget, err := e.budgetOf(ctx, pod)
	switch {
	case err != nil:
		return err
	case budget == nil:
		return e.remove(ctx, req, del)
	case !disruption.Free(pod, budget):
		if err := e.take(ctx, req, budget, pod.Name, meta.DryRun(del.DryRun)); err != nil {
			return err
		}
		return e.remove(ctx, req, del)
	}
	require(&del, pod.ResourceVersion) // it was not ready when this was decided
	err = e.remove(ctx, req, del)
	if apierrors.IsConflict(err) && !bound {
		return disruption.StillProcessed(budget.Name)
	}
	return err
}

// evictOptions are the options of the deletion, with the dry run of either side.
func evictOptions(ev *policyv1.Eviction, opts *metav1.CreateOptions) (*metav1.DeleteOptions, error) {
	del := ev.DeleteOptions
	if del == nil {
		return &metav1.DeleteOptions{DryRun: opts.DryRun}, nil
	}
	if p := del.IgnoreStoreReadErrorWithClusterBreakingPotential; p != nil && *p {
		path := field.NewPath("deleteOptions", "ignoreStoreReadErrorWithClusterBreakingPotential")
		return nil, apierrors.NewInvalid(policyv1.SchemeGroupVersion.WithKind("Eviction").GroupKind(), ev.Name,
			field.ErrorList{field.Invalid(path, true, "can not be set for pod eviction, try after removing the option")})
	}
	del = del.DeepCopy()
	switch {
	case len(del.DryRun) == 0:
		del.DryRun = opts.DryRun
	case len(opts.DryRun) > 0 && !slices.Equal(del.DryRun, opts.DryRun):
		return nil, unknownError(fmt.Sprintf("Non-matching dry-run options in request and content: %v and %v", opts.DryRun, del.DryRun))
	}
	return del, nil
}

// evicted reads the pod as it is now.
func (e *Engine) evicted(ctx context.Context, req *Request) (*corev1.Pod, error) {
	one := *req
	one.Ref.Subresource = ""
	res, err := e.Get(ctx, &one, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	obj, err := res.Meta()
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return obj.(*corev1.Pod), nil
}

// remove marks the pod and deletes it.
func (e *Engine) remove(ctx context.Context, req *Request, del metav1.DeleteOptions) error {
	if !meta.DryRun(del.DryRun) {
		if err := e.markDisrupted(ctx, req, &del); err != nil {
			return err
		}
	}
	one := *req
	one.Ref.Subresource = ""
	_, _, err := e.Delete(ctx, &one, del)
	return err
}

// require binds a deletion to a state of the object.
func require(del *metav1.DeleteOptions, version string) {
	p := metav1.Preconditions{}
	if del.Preconditions != nil {
		p = *del.Preconditions
	}
	p.ResourceVersion = &version
	del.Preconditions = &p
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return storeError(ctx.Err())
	}
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

// A disruption budget says in its status how many of its pods may be away at a time. An eviction takes one of them by a
// compare-and-swap of that status, so that no two evictions take the same; the disruption controller gives it back. What is
// refused and in which words is upstream's (pkg/registry/core/pod/storage/eviction.go).

// errManyBudgets has a code, and no reason, as upstream's answer.
var errManyBudgets = &apierrors.StatusError{ErrStatus: metav1.Status{
	Status: metav1.StatusFailure, Code: 500, Message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
}}

// budgetOf finds the budget that selects pod, nil if none does.
func (e *Engine) budgetOf(ctx context.Context, pod *corev1.Pod) (*policyv1.PodDisruptionBudget, error) {
	k := e.cfg.Catalog.Now().Kinds().Resource(client.PodDisruptionBudgets)
	if k == nil {
		return nil, nil
	}
	all, err := e.List(ctx, &Request{Verb: "list", Kind: k, Ref: client.Ref{Resource: k.GVR(), Namespace: pod.Namespace}, Warn: func(string) {}}, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var found *policyv1.PodDisruptionBudget
	for _, item := range all.Items {
		obj, err := item.Meta()
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		b := obj.(*policyv1.PodDisruptionBudget)
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		if found != nil {
			return nil, errManyBudgets
		}
		found = b
	}
	return found, nil
}

// take takes one disruption from a budget for the pod of that name.
func (e *Engine) take(ctx context.Context, req *Request, b *policyv1.PodDisruptionBudget, pod string, dry bool) error {
	status := *req
	status.Kind = e.cfg.Catalog.Now().Kinds().Resource(client.PodDisruptionBudgets)
	status.Ref = client.Ref{Resource: client.PodDisruptionBudgets, Namespace: b.Namespace, Name: b.Name, Subresource: "status"}
	t, err := e.target(status.Kind)
	if err != nil {
		return err
	}
	defer t.release()
	key, err := t.key(b.Namespace, b.Name)
	if err != nil {
		return err
	}
	_, _, err = e.change(ctx, t, key, func(old api.Object, _ bool) (plan, error) {
		if old == nil {
			return plan{}, apierrors.NewNotFound(t.kind.GR(), b.Name)
		}
		was := old.(*policyv1.PodDisruptionBudget)
		if err := disruption.Exhausted(was); err != nil || dry {
			return plan{act: keep}, err
		}
		now := was.DeepCopy()
		disruption.Take(now, pod)
		if err := e.track(ctx, t, &status, now, was, serverManager); err != nil {
			return plan{}, err
		}
		return plan{act: write, obj: now}, nil
	})
	return err
}

// serverManager owns the fields that the server itself writes.
const serverManager = "kube-apiserver"
