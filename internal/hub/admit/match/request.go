package match

import (
	"context"
	"errors"
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/admit"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Config is what requests are matched with.
type Config struct {
	Door client.Reader // reads namespaces
	// Equivalent are the kinds that show the objects of the same place as a kind does: other versions of it, or another group's.
	Equivalent func(*api.Kind) []*api.Kind
}

// Request is a write as webhooks and policies are asked about it. It belongs to one goroutine.
type Request struct {
	*admit.Attributes
	cfg      *Config
	kind     *api.Kind // that was asked for
	versions []*Version
	equals   []*api.Kind // nil until somebody asks
	sought   bool        // the namespace has been looked for
	ns       *corev1.Namespace
	nsErr    error
}

// New makes the request of a write.
func New(cfg *Config, a *admit.Attributes) *Request {
	return &Request{Attributes: a, cfg: cfg, kind: a.As()}
}

// Target is as what a webhook or a policy wants to see the object of a write.
type Target struct {
	Resource schema.GroupVersionResource
	Kind     schema.GroupVersionKind
	kind     *api.Kind
}

// Match returns as what criteria want the object of the write; nil when they are not about it.
func (r *Request) Match(ctx context.Context, c *Criteria) (*Target, error) {
	inNamespace, err := r.inNamespace(ctx, c.namespaces)
	if err == nil && !inNamespace || !r.labelled(c.objects) {
		return nil, nil
	}
	// What goes wrong is nobody's matter who is not meant.
	if len(c.except) > 0 {
		if t, _, err := r.rule(c, false); err != nil || t != nil {
			return nil, err
		}
	}
	if c.all {
		return r.target(r.kind), err
	}
	t, known, rerr := r.rule(c, true)
	switch {
	case rerr != nil:
		return nil, rerr
	case !known:
		return nil, nil
	}
	return t, err
}

// rule finds a rule that names the write, first as it was asked for and then as anything that it might have been asked for as.
func (r *Request) rule(c *Criteria, want bool) (*Target, bool, error) {
	rules := c.rules
	if !want {
		rules = c.except
	}
	q := r.asked(r.kind)
	for i := range rules {
		if matches(&rules[i], &q) {
			return r.target(r.kind), true, nil
		}
	}
	if c.exact {
		return nil, false, nil
	}
	for i := range rules {
		for _, k := range r.equivalent() {
			if q := r.asked(k); matches(&rules[i], &q) {
				return r.target(k), true, nil
			}
		}
	}
	return nil, false, nil
}

func (r *Request) asked(k *api.Kind) asked {
	return asked{operation: r.Operation, resource: k.GVR(), sub: r.Subresource, namespace: r.Namespace, name: r.ToldName(), ownNamespace: k.OwnNamespace}
}

// ToldName is the name as others are told it.
func (r *Request) ToldName() string {
	if r.Collection {
		return ""
	}
	return r.Name
}

// Note adds an annotation to what the audit keeps of the request, if it keeps any.
func (r *Request) Note(key, value string) {
	if r.Annotate != nil {
		r.Annotate(key, value)
	}
}

// equivalent are the other kinds that the write might have been asked for as.
func (r *Request) equivalent() []*api.Kind {
	if r.equals != nil || r.cfg.Equivalent == nil {
		return r.equals
	}
	r.equals = []*api.Kind{}
	for _, k := range r.cfg.Equivalent(r.kind) {
		if k != r.kind && (r.Subresource == "" || k.Sub(r.Subresource) != nil) {
			r.equals = append(r.equals, k)
		}
	}
	return r.equals
}

func (r *Request) target(k *api.Kind) *Target {
	t := &Target{Resource: k.GVR(), Kind: k.GVK(), kind: k}
	if s := k.Sub(r.Subresource); s != nil && !s.GVK.Empty() {
		t.Kind = s.GVK
	}
	return t
}

// labelled reports whether a selector fits the labels of the object, as it is or was.
func (r *Request) labelled(s labels.Selector) bool {
	return s.Empty() || fits(s, r.Object) || fits(s, r.Old)
}

func fits(s labels.Selector, obj runtime.Object) bool {
	o, ok := obj.(metav1.Object)
	return ok && s.Matches(labels.Set(o.GetLabels()))
}

// inNamespace reports whether a selector fits the labels of the namespace that the object is in. A namespace is in itself; what is
// in none is always meant.
func (r *Request) inNamespace(ctx context.Context, s labels.Selector) (bool, error) {
	if s.Empty() || r.Namespace == "" && !r.kind.OwnNamespace {
		return true, nil
	}
	if o, ok := r.Object.(metav1.Object); ok && r.kind.OwnNamespace && r.Subresource == "" && r.Operation != admit.Delete {
		return s.Matches(labels.Set(o.GetLabels())), nil
	}
	ns, err := r.namespace(ctx)
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return s.Matches(labels.Set(ns.Labels)), nil
	case errors.As(err, &status) && apierrors.IsNotFound(err):
		return false, err
	}
	return false, apierrors.NewInternalError(err)
}

// NamespaceObject is the namespace that the object is in, of which CEL is shown a part; nil for what is in none, and for a
// namespace.
func (r *Request) NamespaceObject(ctx context.Context) (*corev1.Namespace, error) {
	if r.Namespace == "" || r.kind.OwnNamespace {
		return nil, nil
	}
	return r.namespace(ctx)
}

// namespace reads it from the cache as it stands, and up to date when it is not there.
func (r *Request) namespace(ctx context.Context) (*corev1.Namespace, error) {
	if r.sought {
		return r.ns, r.nsErr
	}
	r.sought = true
	ref := client.Ref{Resource: client.Namespaces, Name: r.Namespace}
	obj, err := r.cfg.Door.Get(ctx, ref, metav1.GetOptions{ResourceVersion: "0"})
	if apierrors.IsNotFound(err) {
		obj, err = r.cfg.Door.Get(ctx, ref, metav1.GetOptions{})
	}
	if r.nsErr = err; err != nil {
		return nil, err
	}
	ns, ok := obj.(*corev1.Namespace)
	if !ok {
		r.nsErr = fmt.Errorf("namespace %s is %T", r.Namespace, obj)
	}
	r.ns = ns
	return r.ns, r.nsErr
}
