package verb

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/apply"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/cache"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/verb/meta"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Create stores a new object, or has a handler answer (virtual kinds, subresources). obj belongs to the engine afterwards.
func (e *Engine) Create(ctx context.Context, req *Request, obj runtime.Object, opts metav1.CreateOptions) (Result, error) {
	audit.From(ctx).Body(obj)
	if req.Ref.Subresource != "" || req.Kind.Virtual {
		return e.handle(ctx, req, obj, opts)
	}
	t, err := e.unread(req.Kind)
	if err != nil {
		return Result{}, err
	}
	o, err := e.incoming(ctx, t, obj)
	if err != nil {
		return Result{}, err
	}
	meta.WipeSystemFields(o)
	if err := meta.SettleNamespace(t.work(), req.Ref.Namespace, o); err != nil {
		return Result{}, err
	}
	meta.DedupOwners(o, req.Warn, "")
	if err := e.track(ctx, t, req, o, nil, apply.Manager(opts.FieldManager, req.UserAgent)); err != nil {
		return Result{}, err
	}
	return e.create(ctx, t, req, o, &opts)
}

// create takes a tracked object through admission and stores it; generated names are tried a few times.
func (e *Engine) create(ctx context.Context, t target, req *Request, o api.Object, opts *metav1.CreateOptions) (Result, error) {
	if why := t.kind.Closed; why != "" {
		return Result{}, apierrors.NewForbidden(t.kind.GR(), o.GetName(), errors.New(why))
	}
	opts.TypeMeta = metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "CreateOptions"}
	attrs := &admit.Attributes{
		Kind: t.work(), Requested: t.kind, Operation: admit.Create, Namespace: admissionNamespace(t.work(), req.Ref.Namespace, o), Name: o.GetName(),
		Object: o, Options: opts, DryRun: meta.DryRun(opts.DryRun), User: req.User, Remote: req.Remote, Warn: req.Warn, Annotate: req.Annotate,
	}
	chain := e.cfg.Admit
	if err := chain.Admit(ctx, attrs); err != nil {
		return Result{}, err
	}
	if err := meta.SettleNamespace(t.stored, req.Ref.Namespace, o); err != nil { // once more: a webhook may have changed it
		return Result{}, err
	}
	meta.DedupOwners(o, req.Warn, " after mutating admission happens")
	generated := o.GetName() == "" && o.GetGenerateName() != ""
	// A second attempt under another name begins with what admission left. To prepare an object twice mostly does nothing more,
	// but what a hook has given out it must not find there again.
	again := func() api.Object { return o }
	if generated && (e.cfg.Hooks[t.stored.GR()] != nil || t.stored.PrepareOnce) {
		again = func() api.Object { return o.DeepCopyObject().(api.Object) }
	}
	for attempt := 1; ; attempt++ {
		try := again()
		if generated {
			try.SetName("")
		}
		a := *attrs
		a.Object = try
		res, err := e.createOnce(ctx, t, req, try, &a, chain)
		if !apierrors.IsAlreadyExists(err) {
			return res, err
		}
		if o.GetGenerateName() == "" {
			return res, err
		}
		if !generated || attempt == meta.NameAttempts {
			return res, apierrors.NewGenerateNameConflict(t.kind.GR(), try.GetName(), 1)
		}
	}
}

func (e *Engine) createOnce(ctx context.Context, t target, req *Request, o api.Object, attrs *admit.Attributes, chain admit.Chain) (Result, error) {
	meta.FillSystemFields(o)
	if o.GetName() == "" && o.GetGenerateName() != "" {
		o.SetName(meta.GenerateName(o.GetGenerateName()))
	}
	if k := t.work(); k.PrepareCreate != nil {
		k.PrepareCreate(o)
	}
	effect, err := e.assign(ctx, t, o, nil, attrs.DryRun)
	if err != nil {
		return Result{}, err
	}
	res, err := e.insert(ctx, t, req, o, attrs, chain)
	effect.end(err == nil && !attrs.DryRun)
	return res, err
}

func (e *Engine) insert(ctx context.Context, t target, req *Request, o api.Object, attrs *admit.Attributes, chain admit.Chain) (Result, error) {
	errs := meta.ValidateNew(t.work(), o)
	seen, err := t.outward(ctx, o)
	if err != nil {
		return Result{}, err
	}
	switch {
	case t.kind.Check != nil:
		errs = append(errs, t.kind.Check(ctx, seen, nil, req.Warn)...)
	case t.kind.Validate != nil:
		errs = append(errs, t.kind.Validate(seen)...)
	}
	if len(errs) > 0 {
		return Result{}, invalid(t.stored.GVK().GroupKind(), o.GetName(), errs)
	}
	if t.kind.Warnings != nil {
		for _, w := range t.kind.Warnings(seen, nil) {
			req.Warn(w)
		}
	}
	attrs.Name = o.GetName()
	if err := chain.Validate(ctx, attrs); err != nil {
		return Result{}, err
	}
	key := t.stored.Key(o.GetNamespace(), o.GetName())
	if attrs.DryRun {
		snap, err := t.newest(ctx)
		if err != nil {
			return Result{}, err
		}
		if snap.Get(key) != nil {
			return Result{}, e.alreadyExists(ctx, t, key, o)
		}
		api.CodecOf(t.stored).Settle(o)
		return t.made(ctx, o) // with the resourceVersion that was sent: upstream's store, which refuses one, is not asked
	}
	// What is no number is no revision, to upstream either; it is overwritten.
	if rev, err := strconv.ParseUint(o.GetResourceVersion(), 10, 64); err == nil && rev != 0 {
		return Result{}, unknownError("resourceVersion should not be set on objects to be created")
	}
	o, stored, err := t.encode(ctx, o)
	if err != nil {
		return Result{}, err
	}
	t.place.Fill()
	rev, err := t.place.Store().Create(ctx, key, stored, t.stored.TTLSeconds)
	if errors.Is(err, store.ErrExists) {
		return Result{}, e.alreadyExists(ctx, t, key, o)
	}
	if err != nil {
		return Result{}, storeError(err)
	}
	return t.result(ctx, learn(t, key, rev, stored, o))
}

func (e *Engine) alreadyExists(ctx context.Context, t target, key string, o api.Object) error {
	err := apierrors.NewAlreadyExists(t.kind.GR(), o.GetName())
	if snap, serr := t.newest(ctx); serr == nil {
		if en := snap.Get(key); en != nil {
			if obj, oerr := en.Object(); oerr == nil && obj.GetDeletionTimestamp() != nil {
				err.ErrStatus.Message = "object is being deleted: " + err.ErrStatus.Message
			}
		}
	}
	return err
}

// incoming makes the stored form of an object as a client sends it.
func (e *Engine) incoming(ctx context.Context, t target, obj runtime.Object) (api.Object, error) {
	o, ok := obj.(api.Object)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%T is not a %s", obj, t.kind.Kind))
	}
	if err := accepted(t.kind, o); err != nil {
		return nil, err
	}
	if t.kind.Default != nil {
		t.kind.Default(o)
	}
	o.GetObjectKind().SetGroupVersionKind(t.kind.GVK())
	return t.inward(ctx, o)
}

// accepted refuses an object, as a client sends it, that the kind has no place for.
func accepted(k *api.Kind, o api.Object) error {
	if k.Accept == nil {
		return nil
	}
	if err := k.Accept(o); err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", k.Kind, k.Version, k.Kind, err))
	}
	return nil
}

// track keeps managedFields; old is nil on create.
func (e *Engine) track(ctx context.Context, t target, req *Request, o, old api.Object, manager string) error {
	if e.cfg.Patches == nil {
		return nil
	}
	var err error
	if old != nil {
		if old, err = t.outward(ctx, old); err != nil {
			return err
		}
	}
	seen, err := t.outward(ctx, o)
	if err != nil {
		return err
	}
	e.cfg.Patches.Track(t.kind, req.Ref.Subresource, seen, old, manager)
	o.SetManagedFields(seen.GetManagedFields())
	return nil
}

// assign runs the kind's hook.
func (e *Engine) assign(ctx context.Context, t target, o, old api.Object, dry bool) (effect, error) {
	h := e.cfg.Hooks[t.stored.GR()]
	if h == nil {
		return effect{}, nil
	}
	f, err := h.Assign(ctx, o, old, dry)
	return effect(f), err
}

type effect Effect

func (f effect) end(stored bool) {
	switch {
	case stored && f.Commit != nil:
		f.Commit()
	case !stored && f.Undo != nil:
		f.Undo()
	}
}

// encode makes the stored bytes, without a resourceVersion in them, and the object that they decode to, which is o itself unless
// that is stored in another version. The cache may get to hold it.
func (t target) encode(ctx context.Context, o api.Object) (kept api.Object, stored []byte, err error) {
	codec := api.CodecOf(t.stored)
	codec.Settle(o)
	if kept, err = t.packed(ctx, o); err != nil {
		return nil, nil, err
	}
	if kept != o {
		codec.Settle(kept)
	}
	rv := kept.GetResourceVersion()
	kept.SetResourceVersion("")
	stored, err = codec.Encode(kept)
	kept.SetResourceVersion(rv)
	if err != nil {
		return nil, nil, apierrors.NewInternalError(err)
	}
	return kept, stored, nil
}

// learn hands the written object to the cache; o is frozen afterwards.
func learn(t target, key string, rev int64, stored []byte, o api.Object) *cache.Entry {
	o.SetResourceVersion(strconv.FormatInt(rev, 10))
	return t.place.Learn(key, rev, stored, o)
}

// admissionNamespace is the namespace that admission is told of.
func admissionNamespace(k *api.Kind, namespace string, o api.Object) string {
	if k.OwnNamespace && o != nil {
		return o.GetName()
	}
	return namespace
}
