package plane

import (
	"context"
	"net/url"
	"sync/atomic"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// door leads to whichever hub of this process there is now: one that has failed is followed by another, and who holds the door
// sees no more of that than of an API server elsewhere that is started again.
type door struct {
	hub       *atomic.Pointer[hub.Hub]
	user      api.User
	userAgent string
	last      atomic.Pointer[opened]
}

// Door is a client with an identity, of whichever hub there is.
func (p *Plane) Door(user api.User, userAgent string) client.Interface {
	return &door{hub: &p.hub, user: user, userAgent: userAgent}
}

// opened is the door of one hub.
type opened struct {
	of   *hub.Hub
	door client.Interface
}

// What the hub's own door is beside client.Interface, this one is too: who asks for it would else take it for a lesser one.
var (
	_ client.Near       = (*door)(nil)
	_ client.Discoverer = (*door)(nil)
	_ client.Elsewhere  = (*door)(nil)
	_ client.Fetcher    = (*door)(nil)
	_ client.Sparse     = (*door)(nil)
)

// now is the door of the hub that there is.
func (d *door) now() (client.Interface, error) {
	h, o := d.hub.Load(), d.last.Load()
	switch {
	case h == nil:
		return nil, apierrors.NewServiceUnavailable("the API server is being started again")
	case o != nil && o.of == h:
		return o.door, nil
	}
	o = &opened{h, h.Door(d.user, d.userAgent)}
	d.last.Store(o)
	return o.door, nil
}

// Near implements client.Near.
func (d *door) Near() {}

// Get implements client.Reader.
func (d *door) Get(ctx context.Context, ref client.Ref, opts metav1.GetOptions) (runtime.Object, error) {
	to, err := d.now()
	if err != nil {
		return nil, err
	}
	return to.Get(ctx, ref, opts)
}

// List implements client.Reader.
func (d *door) List(ctx context.Context, ref client.Ref, opts metav1.ListOptions) (*client.List, error) {
	to, err := d.now()
	if err != nil {
		return nil, err
	}
	return to.List(ctx, ref, opts)
}

// Watch implements client.Reader. The watch ends with the hub that it is of.
func (d *door) Watch(ctx context.Context, ref client.Ref, opts metav1.ListOptions) (watch.Interface, error) {
	to, err := d.now()
	if err != nil {
		return nil, err
	}
	return to.Watch(ctx, ref, opts)
}

// Served implements client.Discoverer.
func (d *door) Served(ctx context.Context, after *api.Kinds) (*api.Kinds, error) {
	to, err := d.now()
	if err != nil {
		return nil, err
	}
	discoverer, ok := to.(client.Discoverer)
	if !ok {
		return nil, apierrors.NewServiceUnavailable("the API server does not tell what it serves")
	}
	return discoverer.Served(ctx, after)
}

// Elsewhere implements client.Elsewhere.
func (d *door) Elsewhere() (kinds []*api.Kind, unknown []schema.GroupVersion) {
	to, err := d.now()
	if err != nil {
		return nil, nil
	}
	if other, ok := to.(client.Elsewhere); ok {
		return other.Elsewhere()
	}
	return nil, nil
}

// Fetch implements client.Fetcher.
func (d *door) Fetch(ctx context.Context, ref client.Ref, query url.Values) ([]byte, error) {
	to, err := d.now()
	if err != nil {
		return nil, err
	}
	fetcher, ok := to.(client.Fetcher)
	if !ok {
		return nil, apierrors.NewServiceUnavailable("the API server does not tell what others answer")
	}
	return fetcher.Fetch(ctx, ref, query)
}

// Empty implements client.Sparse.
func (d *door) Empty(r schema.GroupVersionResource) bool {
	to, err := d.now()
	return err == nil && client.IsEmpty(to, r)
}

// Create implements client.Writer.
func (d *door) Create(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error) {
	to, err := d.now()
	if err != nil {
		return nil, err
	}
	return to.Create(ctx, ref, obj, opts)
}

// Update implements client.Writer.
func (d *door) Update(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.UpdateOptions) (runtime.Object, error) {
	to, err := d.now()
	if err != nil {
		return nil, err
	}
	return to.Update(ctx, ref, obj, opts)
}

// Patch implements client.Writer.
func (d *door) Patch(ctx context.Context, ref client.Ref, pt types.PatchType, data []byte, opts metav1.PatchOptions) (runtime.Object, error) {
	to, err := d.now()
	if err != nil {
		return nil, err
	}
	return to.Patch(ctx, ref, pt, data, opts)
}

// Delete implements client.Writer.
func (d *door) Delete(ctx context.Context, ref client.Ref, opts metav1.DeleteOptions) error {
	to, err := d.now()
	if err != nil {
		return err
	}
	return to.Delete(ctx, ref, opts)
}

// DeleteCollection implements client.Writer.
func (d *door) DeleteCollection(ctx context.Context, ref client.Ref, opts metav1.DeleteOptions, list metav1.ListOptions) error {
	to, err := d.now()
	if err != nil {
		return err
	}
	return to.DeleteCollection(ctx, ref, opts, list)
}
