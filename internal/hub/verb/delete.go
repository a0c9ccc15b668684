package verb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/cache"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/verb/meta"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Delete deletes one object, at once or by marking it. The result is the object for kinds that answer with it and for those
// that are only marked; otherwise a Status. gone tells whether it is removed.
func (e *Engine) Delete(ctx context.Context, req *Request, opts metav1.DeleteOptions) (res Result, gone bool, err error) {
	if t := audit.From(ctx); t.Wants(audit.Request) {
		body := opts
		body.TypeMeta = metav1.TypeMeta{Kind: "DeleteOptions", APIVersion: "meta.k8s.io/__internal"} // as upstream has it
		t.Body(&body)
	}
	t, err := e.target(req.Kind)
	if err != nil {
		return Result{}, false, err
	}
	defer t.release()
	if errs := metav1validation.ValidateDeleteOptions(&opts); len(errs) > 0 {
		return Result{}, false, apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "DeleteOptions"}, "", errs)
	}
	opts.TypeMeta = metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "DeleteOptions"}
	key, err := t.key(req.Ref.Namespace, req.Ref.Name)
	if err != nil {
		return Result{}, false, err
	}
	warnOfDefault(req, &opts)
	chain := e.cfg.Admit
	dry := meta.DryRun(opts.DryRun)
	if en, err := t.peek(ctx, key); err == nil && en != nil && en.Bad() != nil {
		if !errors.Is(en.Bad(), store.ErrDamaged) {
			return Result{}, false, storeError(en.Bad()) // it is whole, and may be read again with the right key
		}
		return e.deleteUnreadable(ctx, t, req, key, en, &opts)
	}
	res, act, err := e.change(ctx, t, key, func(old api.Object, newest bool) (plan, error) {
		if old == nil {
			return plan{}, apierrors.NewNotFound(t.kind.GR(), req.Ref.Name)
		}
		if unread := opts.IgnoreStoreReadErrorWithClusterBreakingPotential; unread != nil && *unread {
			// It is asked of what nobody can read, and this could be.
			return plan{}, apierrors.NewConflict(t.kind.GR(), req.Ref.Name, fmt.Errorf(
				"StorageError: invalid object, Code: 4, Key: %s, ResourceVersion: 0, AdditionalErrorMsg: unsafe deletion is not allowed because the object is decodable from storage", key))
		}
		asked := *opts.DeepCopy()
		if err := deletePreconditions(t.kind, old, &asked); err != nil {
			return plan{}, err
		}
		attrs := &admit.Attributes{
			Kind: t.work(), Requested: t.kind, Operation: admit.Delete, Namespace: admissionNamespace(t.work(), req.Ref.Namespace, old), Name: req.Ref.Name,
			Old: old, Options: &asked, DryRun: dry, User: req.User, Warn: req.Warn, Annotate: req.Annotate,
			Collection: req.Verb == "deletecollection", Unsure: !newest,
		}
		if err := chain.Admit(ctx, attrs); err != nil {
			return plan{}, err
		}
		if err := chain.Validate(ctx, attrs); err != nil {
			return plan{}, err
		}
		p := deletion(t.work(), old, &asked, time.Now())
		p.dry = dry
		return p, nil
	})
	if err != nil {
		return Result{}, false, err
	}
	if act != remove || t.stored.ReturnsDeleted {
		return res, act == remove, nil
	}
	last, err := res.Meta()
	if err != nil {
		return Result{}, false, apierrors.NewInternalError(err)
	}
	return Made(&metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess,
		Details: &metav1.StatusDetails{Name: last.GetName(), Group: t.kind.Group, Kind: t.kind.Resource, UID: last.GetUID()},
	}), true, nil
}

// warnOfDefault says what becomes of an object's dependents where the caller does not.
func warnOfDefault(req *Request, opts *metav1.DeleteOptions) {
	if opts.PropagationPolicy == nil && opts.OrphanDependents == nil { //nolint:staticcheck // old clients still send it
		req.Warn(req.Kind.DeleteWarning)
	}
}

// deleteUnreadable removes what cannot be read. Finalizers, grace and admission are of the object, and there is none: to
// remove it is the only thing that can still be done.
func (e *Engine) deleteUnreadable(ctx context.Context, t target, req *Request, key string, en *cache.Entry, opts *metav1.DeleteOptions) (Result, bool, error) {
	if p := opts.Preconditions; p != nil && (p.UID != nil || p.ResourceVersion != nil && *p.ResourceVersion != strconv.FormatInt(en.Revision, 10)) {
		return Result{}, false, storeError(en.Bad())
	}
	if !meta.DryRun(opts.DryRun) {
		if _, err := t.place.Store().Delete(ctx, key, en.Revision); err != nil {
			return Result{}, false, storeError(err)
		}
		t.cache.Forget(key, en.Revision)
	}
	req.Warn("the object could not be read; its finalizers, if it had any, were not run")
	return Made(&metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess,
		Details: &metav1.StatusDetails{Name: req.Ref.Name, Group: t.kind.Group, Kind: t.kind.Resource},
	}), true, nil
}

func deletePreconditions(k *api.Kind, old api.Object, opts *metav1.DeleteOptions) error {
	p := opts.Preconditions
	if p == nil {
		return nil
	}
	gr := schema.GroupResource{Group: k.Group, Resource: k.Kind}
	if p.UID != nil && *p.UID != old.GetUID() {
		return apierrors.NewConflict(gr, old.GetName(), fmt.Errorf(
			"the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated", *p.UID, old.GetUID()))
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != old.GetResourceVersion() {
		return apierrors.NewConflict(gr, old.GetName(), fmt.Errorf(
			"the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). The object might have been modified", *p.ResourceVersion, old.GetResourceVersion()))
	}
	return nil
}

// deletion decides what a delete does to old: nothing more (a graceful deletion is already under way and not shortened),
// marking it, or removing it. It follows upstream's order: grace first, then finalizers.
func deletion(k *api.Kind, old api.Object, opts *metav1.DeleteOptions, at time.Time) plan {
	at = at.Truncate(time.Second)
	obj := old.DeepCopyObject().(api.Object)
	if k.Termination != nil && obj.GetDeletionTimestamp() == nil {
		k.Termination.Begin(obj, metav1.NewTime(at))
		if k.Termination.Alone {
			return plan{act: write, obj: obj}
		}
		obj.SetFinalizers(collectorFinalizers(k, obj, opts))
		return plan{act: write, obj: obj}
	}
	if heldBySpec(k, obj) {
		return plan{act: keep}
	}
	if g := opts.GracePeriodSeconds; g != nil && *g < 0 {
		opts.GracePeriodSeconds = new(int64(1))
	}
	if g := obj.GetDeletionGracePeriodSeconds(); g != nil && *g < 0 {
		obj.SetDeletionGracePeriodSeconds(new(int64(1)))
	}
	graceful, pending := grace(k, obj, opts, at)
	if pending {
		return plan{act: keep}
	}
	obj.SetFinalizers(collectorFinalizers(k, obj, opts))
	held := len(obj.GetFinalizers()) > 0
	switch {
	case graceful && (held || *obj.GetDeletionGracePeriodSeconds() > 0):
		return plan{act: write, obj: obj}
	case held:
		markDeleting(obj, at)
		return plan{act: write, obj: obj}
	case graceful:
		return plan{act: remove, obj: obj} // upstream stores the mark before it removes, and answers with it
	}
	return plan{act: remove}
}

// heldBySpec reports whether finalizers in the spec of obj keep it.
func heldBySpec(k *api.Kind, obj api.Object) bool {
	return k.Termination != nil && k.Termination.Held(obj)
}

// grace sets or shortens the time an object has left. graceful says that it has been set on obj; pending that a graceful
// deletion is already under way and stays as it is.
func grace(k *api.Kind, obj api.Object, opts *metav1.DeleteOptions, at time.Time) (graceful, pending bool) {
	if k.Grace == nil {
		return false, false
	}
	if since := obj.GetDeletionTimestamp(); since != nil {
		have := obj.GetDeletionGracePeriodSeconds()
		if have == nil || *have == 0 {
			return false, false
		}
		if opts.GracePeriodSeconds == nil || *opts.GracePeriodSeconds >= *have {
			return false, true
		}
		period := *opts.GracePeriodSeconds
		end := metav1.NewTime(since.Add(time.Duration(period-*have) * time.Second))
		if end.Time.Before(at) {
			end = metav1.NewTime(at)
			if period != 0 {
				period = 1 // somebody else still ends it
			}
		}
		obj.SetDeletionTimestamp(&end)
		obj.SetDeletionGracePeriodSeconds(&period)
		return true, false
	}
	period := k.Grace(obj, opts)
	end := metav1.NewTime(at.Add(time.Duration(period) * time.Second))
	obj.SetDeletionTimestamp(&end)
	obj.SetDeletionGracePeriodSeconds(&period)
	if obj.GetGeneration() > 0 {
		obj.SetGeneration(obj.GetGeneration() + 1)
	}
	return true, false
}

// markDeleting starts the wait for finalizers of an object that has no grace.
func markDeleting(obj api.Object, at time.Time) {
	since := obj.GetDeletionTimestamp()
	if since == nil && obj.GetGeneration() > 0 {
		obj.SetGeneration(obj.GetGeneration() + 1)
	}
	if since == nil || since.After(at) {
		t := metav1.NewTime(at)
		obj.SetDeletionTimestamp(&t)
	}
	obj.SetDeletionGracePeriodSeconds(new(int64))
}

// collectorFinalizers returns obj's finalizers with the two that speak to the garbage collector set as opts want: the
// options first, then what the object already has, then the kind's default.
func collectorFinalizers(k *api.Kind, obj api.Object, opts *metav1.DeleteOptions) []string {
	have := obj.GetFinalizers()
	orphan := slices.Contains(have, metav1.FinalizerOrphanDependents)
	foreground := slices.Contains(have, metav1.FinalizerDeleteDependents)
	switch {
	case opts.OrphanDependents != nil: //nolint:staticcheck // old clients still send it
		orphan, foreground = *opts.OrphanDependents, false
	case opts.PropagationPolicy != nil:
		orphan = *opts.PropagationPolicy == metav1.DeletePropagationOrphan
		foreground = *opts.PropagationPolicy == metav1.DeletePropagationForeground
	case !orphan && !foreground:
		orphan = k.DefaultOrphan
	}
	out := slices.DeleteFunc(slices.Clone(have), func(f string) bool {
		return f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents
	})
	if orphan {
		out = append(out, metav1.FinalizerOrphanDependents)
	}
	if foreground {
		out = append(out, metav1.FinalizerDeleteDependents)
	}
	if len(out) == len(have) && !slices.ContainsFunc(out, func(f string) bool { return !slices.Contains(have, f) }) {
		return have // same set: leave the order alone
	}
	return out
}
