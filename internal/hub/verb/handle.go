package verb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/apply"
	"sampan.dev/internal/hub/verb/meta"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
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

// Source answers reads of a virtual kind whose objects are made when somebody asks. It returns those of a namespace ("": of all), or
// the one of a name, as far as the selector takes them, with apiVersion and kind, in the order of their names.
type Source func(ctx context.Context, namespace, name string, selector labels.Selector) ([]api.Object, error)

// source is who answers reads of a kind; nil for kinds that are stored.
func (e *Engine) source(k *api.Kind) Source {
	if !k.Virtual {
		return nil
	}
	return e.cfg.Sources[HandlerKey(k.GR(), "")]
}

// get reads one object.
func (s Source) get(ctx context.Context, req *Request) (Result, error) {
	list, err := s(ctx, req.Ref.Namespace, req.Ref.Name, labels.Everything())
	if err != nil {
		return Result{}, err
	}
	if len(list) == 0 {
		name := req.Ref.Name
		if req.Kind.Namespaced {
			name = req.Ref.Namespace + "/" + name
		}
		return Result{}, apierrors.NewNotFound(schema.GroupResource{Group: req.Kind.Group, Resource: strings.ToLower(req.Kind.Kind)}, name)
	}
	return Made(list[0]), nil
}

// list reads those that the options select. There is one state, that of now, so revisions, limits and tokens mean nothing.
func (s Source) list(ctx context.Context, req *Request, opts metav1.ListOptions) (*Listing, error) {
	sel, err := selectionOf(target{kind: req.Kind, stored: req.Kind}, req.Ref.Namespace, req.Ref.Name, opts)
	if err != nil {
		return nil, err
	}
	labeled, namespace, name := labels.Everything(), req.Ref.Namespace, ""
	if sel.labels != nil {
		labeled = sel.labels
	}
	fielded := fields.Everything()
	if sel.fields != nil {
		fielded = sel.fields
		if want, ok := fielded.RequiresExactMatch("metadata.namespace"); ok && namespace == "" {
			namespace = want
		}
		if want, ok := fielded.RequiresExactMatch("metadata.name"); ok && (namespace != "" || !req.Kind.Namespaced) {
			name = want
		}
	}
	all, err := s(ctx, namespace, name, labeled)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(o api.Object) bool {
		return !fielded.Matches(fields.Set{"metadata.name": o.GetName(), "metadata.namespace": o.GetNamespace()})
	})
	l := &Listing{Kind: req.Kind}
	for _, o := range all {
		l.Items = append(l.Items, Made(o))
	}
	return l, nil
}
