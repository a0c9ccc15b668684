package verb

import (
	"context"
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/apply"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/verb/meta"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Patch changes an object by a patch document; server-side apply creates it where it is not there.
func (e *Engine) Patch(ctx context.Context, req *Request, pt types.PatchType, data []byte, opts metav1.PatchOptions) (res Result, created bool, err error) {
	audit.From(ctx).Patch(data)
	if e.cfg.Patches == nil {
		return Result{}, false, apierrors.NewMethodNotSupported(req.Kind.GR(), "patch")
	}
	if sub := req.Kind.Sub(req.Ref.Subresource); sub != nil && sub.Scale != nil {
		return e.patchScale(ctx, req, sub, pt, data, opts)
	}
	t, err := e.target(req.Kind)
	if err != nil {
		return Result{}, false, err
	}
	defer t.release()
	w := &writing{
		e: e, t: t, req: req, dry: meta.DryRun(opts.DryRun), options: updateOptions(opts),
		allowCreate: pt == types.ApplyYAMLPatchType && req.Ref.Subresource == "",
	}
	w.make = func(old api.Object) (api.Object, error) { return w.patched(ctx, old, pt, data, opts) }
	return w.run(ctx)
}

// patched returns old with the patch applied, defaulted and its managed fields kept.
func (w *writing) patched(ctx context.Context, old api.Object, pt types.PatchType, data []byte, opts metav1.PatchOptions) (api.Object, error) {
	t, k := w.t, w.t.kind
	var err error
	from := old
	if from != nil {
		if from, err = t.outward(ctx, old); err != nil {
			return nil, err
		}
	}
	obj, err := w.e.cfg.Patches.Patch(k, w.req.Ref.Subresource, from, pt, data, w.e.patchOptions(w.req, pt, opts))
	if err != nil {
		return nil, err
	}
	if old == nil && obj.GetUID() != "" {
		return nil, apierrors.NewConflict(k.GR(), w.req.Ref.Name, fmt.Errorf("uid mismatch: the provided object specified uid %s, and no existing object was found", obj.GetUID()))
	}
	if err := meta.SettleNamespace(t.work(), w.req.Ref.Namespace, obj); err != nil {
		return nil, err
	}
	if err := meta.CheckName(t.work(), w.req.Ref.Namespace, w.req.Ref.Name, obj); err != nil {
		return nil, err
	}
	if err := accepted(k, obj); err != nil {
		return nil, err
	}
	if pt == types.ApplyYAMLPatchType && k.Default != nil {
		k.Default(obj)
	}
	obj.GetObjectKind().SetGroupVersionKind(k.GVK())
	return t.inward(ctx, obj)
}

func (e *Engine) patchOptions(req *Request, pt types.PatchType, opts metav1.PatchOptions) apply.Options {
	o := apply.Options{Name: req.Ref.Name, Manager: opts.FieldManager, Validation: opts.FieldValidation, Warn: req.Warn}
	if o.Validation == "" {
		o.Validation = metav1.FieldValidationWarn
	}
	if pt != types.ApplyYAMLPatchType {
		o.Manager = apply.Manager(opts.FieldManager, req.UserAgent)
	}
	o.Force = opts.Force != nil && *opts.Force
	return o
}

func updateOptions(opts metav1.PatchOptions) *metav1.UpdateOptions {
	return &metav1.UpdateOptions{
		TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "UpdateOptions"},
		DryRun:   opts.DryRun, FieldManager: opts.FieldManager, FieldValidation: opts.FieldValidation,
	}
}
