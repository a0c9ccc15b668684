package verb

import (
	"context"
	"fmt"

	"sampan.dev/internal/api"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Patch changes an object by a patch document; server-side apply creates it where it is not there.
func (e *Engine) Patch(ctx context.Context, req *Request, pt types.PatchType, data []byte, opts metav1.PatchOptions) (res Result, created bool, err error) {
	if e.cfg.Patches == nil {
		return Result{}, false, apierrors.NewMethodNotSupported(req.Kind.GR(), "patch")
	}
	if opts.FieldValidation == "" {
		opts.FieldValidation = metav1.FieldValidationWarn
	}
	if sub := req.Kind.Sub(req.Ref.Subresource); sub != nil && sub.Scale != nil {
		return e.patchScale(ctx, req, sub, pt, data, opts)
	}
	t, err := e.target(req.Kind)
	if err != nil {
		return Result{}, false, err
	}
	w := &writing{
		e: e, t: t, req: req, dry: dryRun(opts.DryRun), options: updateOptions(opts),
		allowCreate: pt == types.ApplyYAMLPatchType && req.Ref.Subresource == "",
	}
	w.make = func(old api.Object) (api.Object, error) { return w.patched(old, pt, data, opts) }
	return w.run(ctx)
}

// patched returns old with the patch applied, defaulted and tracked.
func (w *writing) patched(old api.Object, pt types.PatchType, data []byte, opts metav1.PatchOptions) (api.Object, error) {
	t, k := w.t, w.t.kind
	var from api.Object
	if old != nil {
		from = t.outward(old)
	} else {
		from = k.New()
		from.GetObjectKind().SetGroupVersionKind(k.GVK())
	}
	manager := managerOf(opts.FieldManager, w.req.UserAgent)
	var out any
	var err error
	if pt == types.ApplyYAMLPatchType {
		out, err = w.e.cfg.Patches.Apply(k, w.req.Ref.Subresource, from, k.New(), data, opts, manager, w.req.Warn)
	} else {
		out, err = w.e.cfg.Patches.Patch(pt, from, k.New(), data, opts.FieldValidation, w.req.Warn)
	}
	if err != nil {
		return nil, err
	}
	obj, ok := out.(api.Object)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("patched object is %T", out))
	}
	if old == nil && obj.GetUID() != "" {
		return nil, apierrors.NewConflict(k.GR(), w.req.Ref.Name, fmt.Errorf("uid mismatch: the provided object specified uid %s, and no existing object was found", obj.GetUID()))
	}
	if err := settleNamespace(t.stored, w.req.Ref.Namespace, obj); err != nil {
		return nil, err
	}
	if err := checkName(t.stored, w.req.Ref.Namespace, w.req.Ref.Name, obj); err != nil {
		return nil, err
	}
	if k.Default != nil {
		k.Default(obj)
	}
	obj.GetObjectKind().SetGroupVersionKind(k.GVK())
	obj = t.inward(obj)
	if pt != types.ApplyYAMLPatchType {
		w.e.track(t, w.req, obj, old, manager)
	}
	return obj, nil
}

func updateOptions(opts metav1.PatchOptions) *metav1.UpdateOptions {
	return &metav1.UpdateOptions{
		TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "UpdateOptions"},
		DryRun:   opts.DryRun, FieldManager: opts.FieldManager, FieldValidation: opts.FieldValidation,
	}
}
