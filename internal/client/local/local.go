package local

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/catalog"
	"sampan.dev/internal/hub/verb"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// Config is what doors share.
type Config struct {
	Catalog *catalog.Catalog
	Verbs   *verb.Engine
	Audit   *audit.Log // nil: nothing is recorded
	Log     *slog.Logger
	// Remote is the ADDRESS:PORT that the caller is said to come from, in tests; a door in process has none.
	Remote string

	// WhenEnded has f called when the hub ends, unless the function that it returns is called before; nil if no watch outlives
	// the hub.
	WhenEnded func(f func()) func() bool
}

// Door is a client.Interface for one identity.
type Door struct {
	cfg       Config
	user      api.User
	userAgent string
}

var _ client.Interface = (*Door)(nil)

// New makes a door.
func New(cfg Config, user api.User, userAgent string) *Door {
	return &Door{cfg: cfg, user: user, userAgent: userAgent}
}

// Near implements client.Near.
func (d *Door) Near() {}

// request authorizes a call and returns what the verbs are told, the context to call them with, and a function to tell the audit how
// it ended.
func (d *Door) request(ctx context.Context, v string, ref client.Ref, sel *metav1.ListOptions) (context.Context, *verb.Request, func(error), error) {
	served := d.cfg.Catalog.Now().Resource(ref.Resource)
	if served == nil {
		return ctx, nil, nil, verb.NotServed(ref.Resource)
	}
	k := served.Kind
	if !k.Namespaced {
		ref.Namespace = ""
	}
	req := &verb.Request{User: d.user, UserAgent: d.userAgent, Verb: v, Kind: k, Ref: ref, Warn: d.warn, Remote: d.cfg.Remote}
	a := verb.AttributesOf(req)
	if k.OwnNamespace {
		a.Namespace = ref.Name // a namespace counts as inside itself, as paths have it
	}
	if sel != nil {
		a.FieldSelector, a.LabelSelector = sel.FieldSelector, sel.LabelSelector
		if ref.Name == "" {
			a.Name = nameSelected(sel.FieldSelector)
		}
	}
	trail, done, err := d.audited(req)
	if err != nil {
		return ctx, nil, nil, err
	}
	if served.Backend() != nil {
		err = apierrors.NewServiceUnavailable("what answers for " + k.GR().String() + " is not reached in process")
		done(err)
		return ctx, nil, nil, err
	}
	if served.Answers(ref.Subresource, v) != catalog.Served {
		err = apierrors.NewMethodNotSupported(k.GR(), v)
		done(err)
		return ctx, nil, nil, err
	}
	if trail != nil {
		req.Annotate = trail.Annotate
	}
	reason, err := d.cfg.Verbs.Decide(ctx, a)
	if trail.Decision(err == nil, reason); err != nil {
		done(err)
		return ctx, nil, nil, err
	}
	return audit.With(ctx, trail), req, done, nil
}

// nameSelected is the name that a field selector asks for, as requests over HTTP have it.
func nameSelected(selector string) string {
	for term := range strings.SplitSeq(selector, ",") {
		if name, ok := strings.CutPrefix(term, "metadata.name="); ok {
			return strings.TrimPrefix(name, "=")
		}
	}
	return ""
}

// audited begins the trail of a call and returns what ends it.
func (d *Door) audited(req *verb.Request) (*audit.Trail, func(error), error) {
	if d.cfg.Audit == nil {
		return nil, func(error) {}, nil
	}
	e := audit.Event{
		ID: audit.NewID(), Received: time.Now(), Verb: req.Verb, URI: path(req), User: req.User, UserAgent: req.UserAgent,
		Object: &audit.Object{
			Group: req.Kind.Group, Version: req.Kind.Version, Resource: req.Kind.Resource, Subresource: req.Ref.Subresource,
			Namespace: req.Ref.Namespace, Name: req.Ref.Name,
		},
	}
	trail, ok := d.cfg.Audit.Begin(e, "")
	if !ok {
		return nil, nil, apierrors.NewInternalError(errors.New("failed to store audit event"))
	}
	if trail != nil && req.Verb == "watch" {
		trail.Starts(http.StatusOK)
	}
	return trail, func(err error) {
		code := http.StatusOK
		switch {
		case err != nil:
			code = 0 // that of the error
		case req.Verb == "create" && req.Ref.Subresource == "":
			code = http.StatusCreated
		}
		if trail != nil {
			trail.Ends(audit.Status(code, err))
		} else if err != nil {
			d.cfg.Audit.Refused(e, audit.Status(0, err))
		}
	}, nil
}

// path is what the call would ask for over HTTP, without options.
func path(req *verb.Request) string {
	b := make([]byte, 0, 128)
	if req.Kind.Group == "" {
		b = append(b, "/api/"...)
	} else {
		b = append(append(append(b, "/apis/"...), req.Kind.Group...), '/')
	}
	b = append(b, req.Kind.Version...)
	if req.Ref.Namespace != "" && !req.Kind.OwnNamespace {
		b = append(append(b, "/namespaces/"...), req.Ref.Namespace...)
	}
	for _, part := range []string{req.Kind.Resource, req.Ref.Name, req.Ref.Subresource} {
		if part != "" {
			b = append(append(b, '/'), part...)
		}
	}
	return string(b)
}

func (d *Door) warn(text string) {
	if d.cfg.Log != nil {
		d.cfg.Log.Debug("warning to a local client", "user_agent", d.userAgent, "warning", text)
	}
}

// Get reads one object.
func (d *Door) Get(ctx context.Context, ref client.Ref, opts metav1.GetOptions) (runtime.Object, error) {
	ctx, req, done, err := d.request(ctx, "get", ref, nil)
	if err != nil {
		return nil, err
	}
	res, err := d.cfg.Verbs.Get(ctx, req, opts)
	done(err)
	if err == nil && ref.Metadata {
		return res.Metadata()
	}
	return object(res, err)
}

// List reads the selected objects.
func (d *Door) List(ctx context.Context, ref client.Ref, opts metav1.ListOptions) (*client.List, error) {
	if far, err := d.elsewhere(ctx, "list", ref); far != nil || err != nil {
		if err != nil {
			return nil, err
		}
		return far.List(ctx, ref, opts)
	}
	ctx, req, done, err := d.request(ctx, "list", ref, &opts)
	if err != nil {
		return nil, err
	}
	l, err := d.cfg.Verbs.List(ctx, req, opts)
	done(err)
	if err != nil {
		return nil, err
	}
	out := &client.List{ResourceVersion: l.ResourceVersion, Continue: l.Continue, RemainingItemCount: l.Remaining, Items: make([]api.Object, len(l.Items))}
	for i, item := range l.Items {
		if out.Items[i], err = itemOf(item, ref); err != nil {
			return nil, apierrors.NewInternalError(err)
		}
	}
	return out, nil
}

// itemOf is an item as ref asks for it.
func itemOf(item verb.Result, ref client.Ref) (api.Object, error) {
	if ref.Metadata {
		return item.Metadata()
	}
	return item.Meta()
}

// Create stores an object or has a virtual resource or subresource answer.
func (d *Door) Create(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error) {
	if o, ok := obj.(metav1.Object); ok && ref.Namespace == "" {
		ref.Namespace = o.GetNamespace()
	}
	name := ref.Name
	if ref.Subresource == "" {
		ref.Name = "" // upstream's create knows no name before the body
	}
	ctx, req, done, err := d.request(ctx, "create", ref, nil)
	if err != nil {
		return nil, err
	}
	obj = obj.DeepCopyObject()
	if o, ok := obj.(metav1.Object); ok && ref.Subresource == "" && o.GetName() == "" && o.GetGenerateName() == "" && name != "" {
		o.SetName(name)
	}
	res, err := d.cfg.Verbs.Create(ctx, req, obj, opts)
	done(err)
	return object(res, err)
}

// Update replaces an object.
func (d *Door) Update(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.UpdateOptions) (runtime.Object, error) {
	if o, ok := obj.(metav1.Object); ok {
		if ref.Namespace == "" {
			ref.Namespace = o.GetNamespace()
		}
		if ref.Name == "" {
			ref.Name = o.GetName()
		}
	}
	ctx, req, done, err := d.request(ctx, "update", ref, nil)
	if err != nil {
		return nil, err
	}
	res, _, err := d.cfg.Verbs.Update(ctx, req, obj.DeepCopyObject(), opts)
	done(err)
	return object(res, err)
}

// Patch changes an object by a patch document.
func (d *Door) Patch(ctx context.Context, ref client.Ref, pt types.PatchType, data []byte, opts metav1.PatchOptions) (runtime.Object, error) {
	ctx, req, done, err := d.request(ctx, "patch", ref, nil)
	if err != nil {
		return nil, err
	}
	res, _, err := d.cfg.Verbs.Patch(ctx, req, pt, data, opts)
	done(err)
	return object(res, err)
}

// Delete deletes one object.
func (d *Door) Delete(ctx context.Context, ref client.Ref, opts metav1.DeleteOptions) error {
	if far, err := d.elsewhere(ctx, "delete", ref); far != nil || err != nil {
		if err != nil {
			return err
		}
		return far.Delete(ctx, ref, opts)
	}
	ctx, req, done, err := d.request(ctx, "delete", ref, nil)
	if err != nil {
		return err
	}
	_, _, err = d.cfg.Verbs.Delete(ctx, req, opts)
	done(err)
	return err
}

// DeleteCollection deletes every selected object.
func (d *Door) DeleteCollection(ctx context.Context, ref client.Ref, opts metav1.DeleteOptions, list metav1.ListOptions) error {
	if far, err := d.elsewhere(ctx, "deletecollection", ref); far != nil || err != nil {
		if err != nil {
			return err
		}
		return far.DeleteCollection(ctx, ref, opts, list)
	}
	ctx, req, done, err := d.request(ctx, "deletecollection", ref, &list)
	if err != nil {
		return err
	}
	_, err = d.cfg.Verbs.DeleteCollection(ctx, req, opts, list)
	done(err)
	return err
}

func object(res verb.Result, err error) (runtime.Object, error) {
	if err != nil {
		return nil, err
	}
	return res.Object()
}
