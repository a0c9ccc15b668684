package verb

import (
	"context"
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/apply"
	"sampan.dev/internal/hub/verb/meta"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// handle answers creates that are not plain writes.
func (e *Engine) handle(ctx context.Context, req *Request, obj runtime.Object, opts metav1.CreateOptions) (Result, error) {
	k, sub := req.Kind, req.Kind.Sub(req.Ref.Subresource)
	h := e.cfg.Handlers[HandlerKey(k.GR(), req.Ref.Subresource)]
	if h == nil {
		return Result{}, apierrors.NewMethodNotSupported(k.GR(), "create")
	}
	name := req.Ref.Name
	if o, ok := obj.(api.Object); ok {
		if sub == nil {
			meta.WipeSystemFields(o)
		}
		if k.Default != nil && sub == nil {
			k.Default(o)
		}
		untracked := k.Untracked
		if sub != nil {
			untracked = sub.Untracked
		}
		if sub != nil && sub.Default != nil {
			sub.Default(o)
		}
		if err := meta.SettleNamespace(k, req.Ref.Namespace, o); err != nil {
			return Result{}, err
		}
		if e.cfg.Patches != nil && !untracked {
			e.cfg.Patches.Track(k, req.Ref.Subresource, o, nil, apply.Manager(opts.FieldManager, req.UserAgent))
		}
		if name == "" {
			name = o.GetName()
		}
	}
	opts.TypeMeta = metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "CreateOptions"}
	attrs := &admit.Attributes{
		Kind: k, Subresource: req.Ref.Subresource, Operation: admit.Create, Namespace: req.Ref.Namespace, Name: name,
		Object: obj, Options: &opts, DryRun: meta.DryRun(opts.DryRun), User: req.User, Warn: req.Warn, Annotate: req.Annotate,
	}
	chain := e.cfg.Admit
	if err := chain.Admit(ctx, attrs); err != nil {
		return Result{}, err
	}
	if o, ok := obj.(api.Object); ok {
		if err := checkBody(req, sub, o, name); err != nil {
			return Result{}, err
		}
	}
	if err := chain.Validate(ctx, attrs); err != nil {
		return Result{}, err
	}
	out, err := h(ctx, req, obj, opts)
	if err != nil {
		return Result{}, err
	}
	if err := api.SetGVK(out); err != nil {
		return Result{}, apierrors.NewInternalError(err)
	}
	if st, ok := out.(*metav1.Status); ok && st.Code == 0 {
		st.Code = 201
	}
	return Made(out), nil
}

// checkBody validates the body of such a create: sub's where there is one, else the kind's.
func checkBody(req *Request, sub *api.Subresource, body api.Object, name string) error {
	gvk, validate, refuse := req.Kind.GVK(), req.Kind.Validate, req.Kind.Refuse
	if sub != nil {
		gvk, validate, refuse = sub.GVK, sub.Validate, sub.Refuse
		if sub.Named && body.GetName() != req.Ref.Name {
			return apierrors.NewBadRequest(fmt.Sprintf("name in URL does not match name in %s object", gvk.Kind))
		}
	}
	if validate == nil {
		return nil
	}
	errs := validate(body)
	switch {
	case len(errs) == 0:
		return nil
	case refuse != nil:
		return refuse(name, errs)
	}
	return apierrors.NewInvalid(gvk.GroupKind(), name, errs)
}
