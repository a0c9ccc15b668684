package verb

import (
	"context"
	"errors"
	"strconv"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/apply"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/verb/meta"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Update replaces an object, or what a subresource covers of it. created tells that it was not there before. obj belongs
// to the engine afterwards.
func (e *Engine) Update(ctx context.Context, req *Request, obj runtime.Object, opts metav1.UpdateOptions) (res Result, created bool, err error) {
	audit.From(ctx).Body(obj)
	if sub := req.Kind.Sub(req.Ref.Subresource); sub != nil && sub.Scale != nil {
		return e.updateScale(ctx, req, sub, obj, opts)
	}
	t, err := e.target(req.Kind)
	if err != nil {
		return Result{}, false, err
	}
	defer t.release()
	o, err := e.incoming(ctx, t, obj)
	if err != nil {
		return Result{}, false, err
	}
	if err := meta.SettleNamespace(t.work(), req.Ref.Namespace, o); err != nil {
		return Result{}, false, err
	}
	if err := meta.CheckName(t.work(), req.Ref.Namespace, req.Ref.Name, o); err != nil {
		return Result{}, false, err
	}
	meta.DedupOwners(o, req.Warn, "")
	manager := apply.Manager(opts.FieldManager, req.UserAgent)
	w := &writing{
		e: e, t: t, req: req, dry: meta.DryRun(opts.DryRun), uid: o.GetUID(), options: &opts,
		allowCreate: t.kind.CreateOnUpdate && req.Ref.Subresource == "",
		make: func(old api.Object) (api.Object, error) {
			obj := o.DeepCopyObject().(api.Object)
			return obj, e.track(ctx, t, req, obj, old, manager)
		},
	}
	opts.TypeMeta = metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "UpdateOptions"}
	return w.run(ctx)
}

// writing is one update or patch of the main resource or of a subresource with the parent's body.
type writing struct {
	e           *Engine
	t           target
	req         *Request
	dry         bool
	uid         types.UID // precondition, "" for none
	allowCreate bool
	options     runtime.Object // *metav1.UpdateOptions
	scale       *api.Scale     // of the subresource that is written, which is what admission sees; nil for all others
	// make returns the wanted object, its own copy, with managed fields tracked; old is nil when there is nothing yet.
	make    func(old api.Object) (api.Object, error)
	warn    []string // of the last attempt
	retried bool
}

func (w *writing) run(ctx context.Context) (Result, bool, error) {
	key, err := w.t.key(w.req.Ref.Namespace, w.req.Ref.Name)
	if err != nil {
		return Result{}, false, err
	}
	named := namedKey(key, w.dry)
	creating := false
	send := w.req.Warn
	req := *w.req
	req.Warn = func(s string) { w.warn = append(w.warn, s) } // attempts that come to nothing do not warn
	w.req = &req
	res, _, err := w.e.change(ctx, w.t, key, func(old api.Object, newest bool) (plan, error) {
		w.warn = w.warn[:0]
		creating = old == nil
		if old == nil && !w.allowCreate {
			return plan{}, apierrors.NewNotFound(w.t.kind.GR(), w.req.Ref.Name)
		}
		if err := checkPreconditions(w.t.kind, named, w.req.Ref.Name, w.uid, old); err != nil {
			return plan{}, err
		}
		if old == nil {
			return plan{}, errCreate
		}
		return w.plan(ctx, old, newest)
	})
	if errors.Is(err, errCreate) {
		res, err = w.create(ctx)
		if apierrors.IsAlreadyExists(err) && !w.retried { // somebody was faster: it is an update after all
			w.retried = true
			w.req.Warn = send
			return w.run(ctx)
		}
	}
	for _, s := range w.warn {
		send(s)
	}
	return res, creating && err == nil, err
}

// errCreate leaves the update loop for the create path.
var errCreate = errors.New("create instead")

// create stores what is not there yet, through everything that a create goes through.
func (w *writing) create(ctx context.Context) (Result, error) {
	attrs := AttributesOf(w.req)
	attrs.Verb = "create"
	if err := w.e.Authorize(ctx, attrs); err != nil {
		return Result{}, err
	}
	obj, err := w.make(nil)
	if err != nil {
		return Result{}, err
	}
	meta.WipeSystemFields(obj)
	if err := meta.SettleNamespace(w.t.work(), w.req.Ref.Namespace, obj); err != nil {
		return Result{}, err
	}
	obj.SetResourceVersion("")
	var opts metav1.CreateOptions
	if w.dry {
		opts.DryRun = []string{metav1.DryRunAll}
	}
	if u, ok := w.options.(*metav1.UpdateOptions); ok {
		opts.FieldManager, opts.FieldValidation = u.FieldManager, u.FieldValidation
	}
	return w.e.create(ctx, w.t, w.req, obj, &opts)
}

// plan decides on an update of old: admission, preparation, validation.
func (w *writing) plan(ctx context.Context, old api.Object, newest bool) (plan, error) {
	obj, err := w.make(old)
	if err != nil {
		return plan{}, err
	}
	attrs := &admit.Attributes{
		Kind: w.t.work(), Requested: w.t.kind, Subresource: w.req.Ref.Subresource, Operation: admit.Update, Verb: w.req.Verb,
		Namespace: admissionNamespace(w.t.work(), w.req.Ref.Namespace, obj), Name: w.req.Ref.Name,
		Object: obj, Old: old, Options: w.options, DryRun: w.dry, User: w.req.User, Warn: w.req.Warn, Annotate: w.req.Annotate, Unsure: !newest,
	}
	if w.scale != nil {
		attrs.Object, attrs.Old = scaleOf(w.scale, obj), scaleOf(w.scale, old)
	}
	chain := w.e.cfg.Admit
	if err := chain.Admit(ctx, attrs); err != nil {
		return plan{}, err
	}
	if s, ok := attrs.Object.(*autoscalingv1.Scale); ok && w.scale != nil {
		w.scale.Set(obj, s.Spec.Replicas)
		if fill := w.t.work().Default; fill != nil {
			fill(obj) // what was made for the count to stand in
		}
	}
	meta.DedupOwners(obj, w.req.Warn, " after mutating admission happens")
	if err := w.version(obj, old); err != nil {
		return plan{}, err
	}
	if err := w.prepare(obj, old); err != nil {
		return plan{}, err
	}
	f := effect{}
	if w.req.Ref.Subresource == "" {
		if f, err = w.e.assign(ctx, w.t, obj, old, w.dry); err != nil {
			return plan{}, err
		}
	}
	if err := w.validate(ctx, obj, old); err != nil {
		f.end(false)
		return plan{}, err
	}
	if err := chain.Validate(ctx, attrs); err != nil {
		f.end(false)
		return plan{}, err
	}
	act := write
	if removable(w.t.work(), obj, old) {
		act = remove
	}
	return plan{act: act, obj: obj, effect: f, dry: w.dry}, nil
}

// version compares resource versions; one that is not given is taken from what is there, where the kind allows it.
func (w *writing) version(obj, old api.Object) error {
	if rv := obj.GetResourceVersion(); rv != "" {
		// What cannot be read must not pass for "any version".
		if _, err := strconv.ParseUint(rv, 10, 64); err != nil {
			return unknownError(err.Error())
		}
	}
	have, want := revisionOf(old), revisionOf(obj)
	switch {
	case want == have:
	case want == 0 && w.t.kind.Unconditional:
		obj.SetResourceVersion(old.GetResourceVersion())
	case want == 0:
		gk := w.t.kind.GVK().GroupKind()
		gk.Kind = w.t.kind.Resource
		return apierrors.NewInvalid(gk, obj.GetName(), field.ErrorList{
			field.Invalid(field.NewPath("metadata", "resourceVersion"), 0, "must be specified for an update")})
	default:
		return apierrors.NewConflict(w.t.kind.GR(), obj.GetName(), errors.New(staleMessage))
	}
	return nil
}

// prepare settles what the change from old to obj may not touch. It comes before the hook, so that a service which does not
// mention its addresses has them back before anything is given out.
func (w *writing) prepare(obj, old api.Object) error {
	k := w.t.work()
	prepare := k.PrepareUpdate
	if name := w.req.Ref.Subresource; name != "" {
		sub := k.Sub(name)
		if sub == nil {
			return apierrors.NewMethodNotSupported(w.t.kind.GR(), w.req.Verb)
		}
		if sub.Scale == nil { // to scale is to update the parent: its generation grows
			prepare = sub.PrepareUpdate
		}
	}
	if err := meta.SettleNamespace(k, w.req.Ref.Namespace, obj); err != nil {
		return err
	}
	obj.SetGeneration(old.GetGeneration())
	if prepare != nil {
		prepare(obj, old)
	}
	meta.KeepSystemFields(obj, old)
	return nil
}

// validate checks the change from old to obj, both prepared.
func (w *writing) validate(ctx context.Context, obj, old api.Object) error {
	k := w.t.kind
	validate, check, warnings := k.ValidateUpdate, k.Check, k.Warnings
	if sub := k.Sub(w.req.Ref.Subresource); sub != nil && sub.Scale == nil { // to scale is to update the object itself
		validate, check, warnings = sub.ValidateUpdate, sub.Check, sub.Warnings
	}
	errs := meta.ValidateChange(w.t.work(), obj, old)
	seen, err := w.t.outward(ctx, obj)
	if err != nil {
		return err
	}
	was, err := w.t.outward(ctx, old)
	if err != nil {
		return err
	}
	switch {
	case check != nil:
		errs = append(errs, check(ctx, seen, was, w.req.Warn)...)
	case validate != nil:
		errs = append(errs, validate(seen, was)...)
	}
	if len(errs) > 0 {
		return invalid(w.t.stored.GVK().GroupKind(), obj.GetName(), errs)
	}
	if warnings != nil {
		for _, s := range warnings(seen, was) {
			w.req.Warn(s)
		}
	}
	return nil
}

// removable tells that the update took away the last thing that kept an object from being deleted.
func removable(k *api.Kind, obj, old api.Object) bool {
	if len(obj.GetFinalizers()) > 0 || old.GetDeletionTimestamp() == nil || heldBySpec(k, obj) {
		return false
	}
	grace := old.GetDeletionGracePeriodSeconds()
	return grace == nil || *grace == 0
}
