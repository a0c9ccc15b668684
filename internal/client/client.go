package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"sampan.dev/internal/api"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// Ref names what a call is about: a resource, and for most calls an object of it and perhaps a subresource.
type Ref struct {
	Resource    schema.GroupVersionResource
	Namespace   string // "" for cluster-scoped kinds, or for all namespaces in List and Watch
	Name        string
	Subresource string // "status", "binding", "token", …

	// Metadata says that Get, List and Watch are asked for the sake of metadata alone. An object may then come as a
	// *metav1.PartialObjectMetadata, which costs the hub less than the object where nobody has read that yet.
	Metadata bool
}

// Interface is the door. A call is authorized, admitted and audited as the identity the door was made for.
type Interface interface {
	Reader
	Writer
}

// Near is a door to a hub in the same process. Nothing is encoded on the way, so that writing all of an object costs half of
// a patch, which has to go through JSON.
type Near interface {
	Interface
	Near()
}

// IsNear reports whether the hub behind a door is in the same process.
func IsNear(door Interface) bool {
	_, near := door.(Near)
	return near
}

// Reader reads objects. What it returns is frozen.
type Reader interface {
	Get(ctx context.Context, ref Ref, opts metav1.GetOptions) (runtime.Object, error)
	List(ctx context.Context, ref Ref, opts metav1.ListOptions) (*List, error)
	// Watch streams events from opts.ResourceVersion. Bookmarks and initial events come as asked for in opts. The
	// channel closes when ctx ends, Stop is called or the stream breaks; an Expired error (410) comes as an Error event
	// whose object is a *metav1.Status.
	Watch(ctx context.Context, ref Ref, opts metav1.ListOptions) (watch.Interface, error)
}

// Discoverer is a client that tells what is served.
type Discoverer interface {
	// Served returns the kinds that are served, as soon as they are others than after; nil is none. It blocks until then, and
	// fails with ctx's error, or when the hub cannot be asked. Of the kinds a client over the network knows what discovery says:
	// their names, scope, verbs and subresources, and (a View without functions) which of them show the objects of another.
	Served(ctx context.Context, after *api.Kinds) (*api.Kinds, error)
}

// Elsewhere is a client that tells what others answer for in the hub's place; Served is what the hub answers for itself. Of these
// resources it can list and delete. A client over the network has no such difference: to it Served is all.
type Elsewhere interface {
	// Elsewhere returns their kinds as discovery tells of them, and the group versions of which nothing certain is known, because who
	// answers for them does not.
	Elsewhere() (kinds []*api.Kind, unknown []schema.GroupVersion)
}

// Sparse is a client that may know of resources that there are no objects of, so that nobody need watch them. When one gets its
// first object, Served tells of the kinds once more.
type Sparse interface {
	Empty(r schema.GroupVersionResource) bool
}

// IsEmpty reports whether a client knows that there are no objects of a resource.
func IsEmpty(r Reader, resource schema.GroupVersionResource) bool {
	s, ok := r.(Sparse)
	return ok && s.Empty(resource)
}

// Fetcher is a client that reads what is no object: metrics that somebody else answers for.
type Fetcher interface {
	// Fetch returns the answer to a get of ref (a list, where that has no name) with a query, as JSON.
	Fetch(ctx context.Context, ref Ref, query url.Values) ([]byte, error)
}

// Batched is a watch that hands over in one piece what has happened since the last: the local door's is. The receiver has
// the slices to itself. Who calls Batches does not call ResultChan.
type Batched interface {
	watch.Interface
	Batches() <-chan []watch.Event
}

// Writer writes objects. Each call returns what the hub answered: the stored object, or the answer of a subresource or
// review.
type Writer interface {
	Create(ctx context.Context, ref Ref, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error)
	Update(ctx context.Context, ref Ref, obj runtime.Object, opts metav1.UpdateOptions) (runtime.Object, error)
	Patch(ctx context.Context, ref Ref, pt types.PatchType, data []byte, opts metav1.PatchOptions) (runtime.Object, error)
	Delete(ctx context.Context, ref Ref, opts metav1.DeleteOptions) error
	DeleteCollection(ctx context.Context, ref Ref, opts metav1.DeleteOptions, list metav1.ListOptions) error
}

// List is the answer to a List call.
type List struct {
	ResourceVersion    string
	Continue           string
	RemainingItemCount *int64
	Items              []api.Object // frozen
}

// Factory makes doors for identities: one per controller in process, or one per service account token remotely.
type Factory func(user api.User, userAgent string) Interface

// Get reads one object as T.
func Get[T api.Object](ctx context.Context, r Reader, res schema.GroupVersionResource, namespace, name string) (T, error) {
	obj, err := r.Get(ctx, Ref{Resource: res, Namespace: namespace, Name: name}, metav1.GetOptions{})
	return as[T](obj, err)
}

// ListAll reads all objects of a resource as T, in one namespace or ("") in all.
func ListAll[T api.Object](ctx context.Context, r Reader, res schema.GroupVersionResource, namespace string, opts metav1.ListOptions) ([]T, error) {
	l, err := r.List(ctx, Ref{Resource: res, Namespace: namespace}, opts)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(l.Items))
	for _, o := range l.Items {
		t, ok := o.(T)
		if !ok {
			return nil, fmt.Errorf("list %s: item is %T", res.Resource, o)
		}
		out = append(out, t)
	}
	return out, nil
}

// Create writes a new object.
func Create[T api.Object](ctx context.Context, w Writer, res schema.GroupVersionResource, obj T) (T, error) {
	out, err := w.Create(ctx, Ref{Resource: res, Namespace: obj.GetNamespace(), Name: obj.GetName()}, obj, metav1.CreateOptions{})
	return as[T](out, err)
}

// Update replaces an object; its resourceVersion, if set, must be current.
func Update[T api.Object](ctx context.Context, w Writer, res schema.GroupVersionResource, obj T) (T, error) {
	out, err := w.Update(ctx, Ref{Resource: res, Namespace: obj.GetNamespace(), Name: obj.GetName()}, obj, metav1.UpdateOptions{})
	return as[T](out, err)
}

// UpdateStatus replaces the status of an object.
func UpdateStatus[T api.Object](ctx context.Context, w Writer, res schema.GroupVersionResource, obj T) (T, error) {
	out, err := w.Update(ctx, Ref{Resource: res, Namespace: obj.GetNamespace(), Name: obj.GetName(), Subresource: "status"}, obj, metav1.UpdateOptions{})
	return as[T](out, err)
}

// MergePatch applies a JSON merge patch made from patch, a value that encodes to the patch document.
func MergePatch(ctx context.Context, w Writer, ref Ref, patch any) (runtime.Object, error) {
	data, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	return w.Patch(ctx, ref, types.MergePatchType, data, metav1.PatchOptions{})
}

// Delete deletes one object with default options and, when uid is not empty, only if it still has that UID.
func Delete(ctx context.Context, w Writer, res schema.GroupVersionResource, namespace, name string, uid types.UID) error {
	var opts metav1.DeleteOptions
	if uid != "" {
		opts.Preconditions = &metav1.Preconditions{UID: &uid}
	}
	return w.Delete(ctx, Ref{Resource: res, Namespace: namespace, Name: name}, opts)
}

func as[T runtime.Object](obj runtime.Object, err error) (T, error) {
	var zero T
	if err != nil {
		return zero, err
	}
	t, ok := obj.(T)
	if !ok {
		return zero, fmt.Errorf("answer is %T, wanted %T", obj, zero)
	}
	return t, nil
}
