package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// Door implements client.Interface over HTTPS.
type Door struct {
	rest *rest.RESTClient
}

var _ client.Interface = (*Door)(nil)

// New makes a door with the identity and the user agent of cfg, which it does not change. It connects when first used.
// Without a limit in cfg the door sends as fast as its callers ask: it is the hub that shares itself out.
func New(cfg *rest.Config) (*Door, error) {
	c := rest.CopyConfig(cfg)
	c.ContentType = runtime.ContentTypeProtobuf
	c.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	c.NegotiatedSerializer = codecs{}
	if c.QPS == 0 && c.RateLimiter == nil {
		c.QPS = -1
	}
	if c.WarningHandler == nil && c.WarningHandlerWithContext == nil {
		c.WarningHandler = rest.NoWarnings{} // for people who type; a component cannot heed them
	}
	r, err := rest.UnversionedRESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("door to %s: %w", cfg.Host, err)
	}
	return &Door{rest: r}, nil
}

// Factory returns a client.Factory whose doors all have the identity of cfg, whatever user is asked for, and differ in
// their user agent. cfg is checked here, so that the factory need not fail.
func Factory(cfg *rest.Config) (client.Factory, error) {
	if _, err := New(cfg); err != nil {
		return nil, err
	}
	return func(_ api.User, userAgent string) client.Interface {
		c := rest.CopyConfig(cfg)
		c.UserAgent = userAgent
		d, err := New(c)
		if err != nil {
			panic(fmt.Sprintf("remote: a configuration that was good is bad with user agent %q: %v", userAgent, err))
		}
		return d
	}, nil
}

// request starts a request for ref; opts, if not nil, becomes its query.
func (d *Door) request(verb string, ref client.Ref, withName bool, opts runtime.Object) (*rest.Request, error) {
	gv := ref.Resource.GroupVersion()
	base := []string{"api", gv.Version}
	if gv.Group != "" {
		base = []string{"apis", gv.Group, gv.Version}
	}
	r := d.rest.Verb(verb).AbsPath(base...).NamespaceIfScoped(ref.Namespace, ref.Namespace != "").Resource(ref.Resource.Resource)
	if !api.Scheme.IsVersionRegistered(gv) {
		r.SetHeader("Accept", runtime.ContentTypeJSON) // there are no Go types to decode protobuf into
	}
	if withName {
		r = r.Name(ref.Name)
	}
	if ref.Subresource != "" {
		r = r.SubResource(ref.Subresource)
	}
	if opts != nil {
		query, err := api.ParameterCodec.EncodeParameters(opts, schema.GroupVersion{Version: "v1"})
		if err != nil {
			return nil, fmt.Errorf("query of %s %s: %w", verb, ref.Resource.Resource, err)
		}
		setQuery(r, query)
	}
	return r, nil
}

func setQuery(r *rest.Request, query url.Values) {
	for name, values := range query {
		for _, v := range values {
			r.Param(name, v)
		}
	}
}

// Get implements client.Reader.
func (d *Door) Get(ctx context.Context, ref client.Ref, opts metav1.GetOptions) (runtime.Object, error) {
	r, err := d.request("GET", ref, true, &opts)
	if err != nil {
		return nil, err
	}
	return r.Do(ctx).Get()
}

// Fetch implements client.Fetcher.
func (d *Door) Fetch(ctx context.Context, ref client.Ref, query url.Values) ([]byte, error) {
	r, err := d.request("GET", ref, ref.Name != "", nil)
	if err != nil {
		return nil, err
	}
	setQuery(r, query)
	return r.SetHeader("Accept", runtime.ContentTypeJSON).Do(ctx).Raw()
}

// List implements client.Reader.
func (d *Door) List(ctx context.Context, ref client.Ref, opts metav1.ListOptions) (*client.List, error) {
	r, err := d.request("GET", ref, false, &opts)
	if err != nil {
		return nil, err
	}
	if rv := opts.ResourceVersion; rv != "" && rv != "0" {
		// The hub has waited for this revision already, and says so with a Retry-After that client-go would take ten times.
		r.MaxRetries(0)
	}
	obj, err := r.Do(ctx).Get()
	if err != nil {
		return nil, err
	}
	m, err := meta.ListAccessor(obj)
	if err != nil {
		return nil, fmt.Errorf("list %s: answer is %T", ref.Resource.Resource, obj)
	}
	out := &client.List{ResourceVersion: m.GetResourceVersion(), Continue: m.GetContinue(), RemainingItemCount: m.GetRemainingItemCount()}
	out.Items = make([]api.Object, 0, meta.LenList(obj))
	// With an allocation each, so that one object that is kept does not keep the whole list.
	err = meta.EachListItemWithAlloc(obj, func(item runtime.Object) error {
		o, ok := item.(api.Object)
		if !ok {
			return fmt.Errorf("list %s: item is %T", ref.Resource.Resource, item)
		}
		out.Items = append(out.Items, o)
		return api.SetGVK(o) // items come without it
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Watch implements client.Reader.
func (d *Door) Watch(ctx context.Context, ref client.Ref, opts metav1.ListOptions) (watch.Interface, error) {
	opts.Watch = true
	r, err := d.request("GET", ref, false, &opts)
	if err != nil {
		return nil, err
	}
	w, err := r.Watch(ctx)
	if err != nil {
		return nil, err
	}
	return newStream(ctx, w), nil
}

// Create implements client.Writer.
func (d *Door) Create(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error) {
	return d.send(ctx, "POST", ref, ref.Subresource != "", obj, &opts)
}

// Update implements client.Writer.
func (d *Door) Update(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.UpdateOptions) (runtime.Object, error) {
	return d.send(ctx, "PUT", ref, true, obj, &opts)
}

func (d *Door) send(ctx context.Context, verb string, ref client.Ref, withName bool, obj, opts runtime.Object) (runtime.Object, error) {
	if m, ok := obj.(metav1.Object); ok {
		if ref.Namespace == "" {
			ref.Namespace = m.GetNamespace()
		}
		if withName && ref.Name == "" {
			ref.Name = m.GetName()
		}
	}
	body, mediaType, err := encode(obj)
	if err != nil {
		return nil, err
	}
	r, err := d.request(verb, ref, withName, opts)
	if err != nil {
		return nil, err
	}
	return r.SetHeader("Content-Type", mediaType).Body(body).Do(ctx).Get()
}

// Patch implements client.Writer.
func (d *Door) Patch(ctx context.Context, ref client.Ref, pt types.PatchType, data []byte, opts metav1.PatchOptions) (runtime.Object, error) {
	r, err := d.request("PATCH", ref, true, &opts)
	if err != nil {
		return nil, err
	}
	return r.SetHeader("Content-Type", string(pt)).Body(data).Do(ctx).Get()
}

// Delete implements client.Writer.
func (d *Door) Delete(ctx context.Context, ref client.Ref, opts metav1.DeleteOptions) error {
	return d.remove(ctx, ref, true, opts, nil)
}

// DeleteCollection implements client.Writer.
func (d *Door) DeleteCollection(ctx context.Context, ref client.Ref, opts metav1.DeleteOptions, list metav1.ListOptions) error {
	return d.remove(ctx, ref, false, opts, &list)
}

func (d *Door) remove(ctx context.Context, ref client.Ref, withName bool, opts metav1.DeleteOptions, query runtime.Object) error {
	body, mediaType, err := encode(&opts)
	if !api.Scheme.IsVersionRegistered(ref.Resource.GroupVersion()) {
		mediaType = runtime.ContentTypeJSON // not everybody who serves what has no Go type here reads protobuf
		opts.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"}
		body, err = json.Marshal(&opts)
	}
	if err != nil {
		return err
	}
	r, err := d.request("DELETE", ref, withName, query)
	if err != nil {
		return err
	}
	return r.SetHeader("Content-Type", mediaType).Body(body).Do(ctx).Error()
}
