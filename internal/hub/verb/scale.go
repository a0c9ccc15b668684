package verb

import (
	"context"
	"fmt"
	"math"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/apply"
	"sampan.dev/internal/hub/verb/meta"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var scaleGVK = autoscalingv1.SchemeGroupVersion.WithKind("Scale")

// noReplicas stands in the scale of an object that has no number of replicas, so that a patch can be seen not to give it one.
const noReplicas = math.MinInt32

// scaleOf is the scale subresource of obj.
func scaleOf(s *api.Scale, obj api.Object) *autoscalingv1.Scale {
	spec, status, selector := s.Get(obj)
	out := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{
			Name: obj.GetName(), Namespace: obj.GetNamespace(), UID: obj.GetUID(),
			ResourceVersion: obj.GetResourceVersion(), CreationTimestamp: obj.GetCreationTimestamp(),
		},
		Spec:   autoscalingv1.ScaleSpec{Replicas: spec},
		Status: autoscalingv1.ScaleStatus{Replicas: status, Selector: selector},
	}
	out.GetObjectKind().SetGroupVersionKind(scaleGVK)
	return out
}

func (e *Engine) updateScale(ctx context.Context, req *Request, sub *api.Subresource, obj runtime.Object, opts metav1.UpdateOptions) (Result, bool, error) {
	in, ok := obj.(*autoscalingv1.Scale)
	if !ok {
		return Result{}, false, apierrors.NewBadRequest(fmt.Sprintf("wrong object passed to Scale update: %T", obj))
	}
	if err := settleScale(req, in); err != nil {
		return Result{}, false, err
	}
	return e.writeScale(ctx, req, sub, opts, in.UID, func(old *autoscalingv1.Scale) (*autoscalingv1.Scale, error) {
		s := in.DeepCopy()
		s.GetObjectKind().SetGroupVersionKind(scaleGVK)
		if e.cfg.Patches != nil {
			e.cfg.Patches.Track(req.Kind, req.Ref.Subresource, s, old, apply.Manager(opts.FieldManager, req.UserAgent))
		}
		return s, nil
	})
}

func (e *Engine) patchScale(ctx context.Context, req *Request, sub *api.Subresource, pt types.PatchType, data []byte, opts metav1.PatchOptions) (Result, bool, error) {
	return e.writeScale(ctx, req, sub, *updateOptions(opts), "", func(old *autoscalingv1.Scale) (*autoscalingv1.Scale, error) {
		out, err := e.cfg.Patches.Patch(req.Kind, req.Ref.Subresource, old, pt, data, e.patchOptions(req, pt, opts))
		if err != nil {
			return nil, err
		}
		s, ok := out.(*autoscalingv1.Scale)
		if !ok {
			return nil, apierrors.NewInternalError(fmt.Errorf("patched scale is %T", out))
		}
		return s, settleScale(req, s)
	})
}

// writeScale sets the replica count of the parent to what want makes of its scale. The managed fields of the scale are those
// of the parent that own its replica count.
func (e *Engine) writeScale(ctx context.Context, req *Request, sub *api.Subresource, opts metav1.UpdateOptions, uid types.UID,
	want func(old *autoscalingv1.Scale) (*autoscalingv1.Scale, error)) (Result, bool, error) {
	t, err := e.target(req.Kind)
	if err != nil {
		return Result{}, false, err
	}
	defer t.release()
	w := &writing{e: e, t: t, req: req, dry: meta.DryRun(opts.DryRun), uid: uid, options: &opts, scale: sub.Scale}
	w.make = func(old api.Object) (api.Object, error) {
		was := scaleOf(sub.Scale, old)
		if sub.Scale.Has != nil {
			if has, err := sub.Scale.Has(old); err != nil {
				return nil, unknownError(err.Error())
			} else if !has {
				was.Spec.Replicas = noReplicas
			}
		}
		fields, err := apply.ScaleFields(t.work(), sub.Scale, old)
		if err == nil {
			was.SetManagedFields(fields)
		}
		s, serr := want(was)
		if serr != nil {
			return nil, serr
		}
		if s.Spec.Replicas == noReplicas {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("the spec replicas field %q cannot be empty", sub.Scale.Field))
		}
		if err := checkScale(req, sub.Scale, s, was); err != nil {
			return nil, err
		}
		obj := old.DeepCopyObject().(api.Object)
		sub.Scale.Set(obj, s.Spec.Replicas)
		if s.ResourceVersion != "" {
			obj.SetResourceVersion(s.ResourceVersion)
		}
		if err == nil {
			if fields, err = apply.ParentFields(t.work(), sub.Scale, old, s.GetManagedFields()); err == nil {
				obj.SetManagedFields(fields)
			}
		}
		return obj, nil
	}
	res, created, err := w.run(ctx)
	if err != nil {
		return Result{}, false, err
	}
	parent, err := res.Meta()
	if err != nil {
		return Result{}, false, apierrors.NewInternalError(err)
	}
	return Made(scaleOf(sub.Scale, parent)), created, nil
}

// settleScale holds a client's scale against the namespace and the name in the URL.
func settleScale(req *Request, s *autoscalingv1.Scale) error {
	if err := meta.SettleNamespace(req.Kind, req.Ref.Namespace, s); err != nil {
		return err
	}
	return meta.CheckName(req.Kind, req.Ref.Namespace, req.Ref.Name, s)
}

// checkScale validates a client's scale, and its UID, if it has one, against the parent's. Where the parent's replicas are a field of its
// schema, the schema says which numbers there may be.
func checkScale(req *Request, of *api.Scale, s, was *autoscalingv1.Scale) error {
	if s.Spec.Replicas < 0 && of.Field == "" {
		return apierrors.NewInvalid(scaleGVK.GroupKind(), s.Name, field.ErrorList{
			field.Invalid(field.NewPath("spec", "replicas"), s.Spec.Replicas, "must be greater than or equal to 0")})
	}
	if s.UID != "" && s.UID != was.UID {
		gr := req.Kind.GR()
		gr.Resource += "/" + req.Ref.Subresource
		return apierrors.NewConflict(gr, s.Name, fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", s.UID, was.UID))
	}
	return nil
}
