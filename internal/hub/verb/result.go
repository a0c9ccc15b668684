package verb

import (
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/cache"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Result is one object as an answer: an entry of the cache, whose encodings are shared, or a value made for this request.
type Result struct {
	entry *cache.Entry
	obj   runtime.Object
}

// Made wraps a value made for one request. Its apiVersion and kind must be set.
func Made(obj runtime.Object) Result { return Result{obj: obj} }

// FromEntry wraps a cache entry.
func FromEntry(en *cache.Entry) Result { return Result{entry: en} }

// Empty reports whether there is nothing in it.
func (r Result) Empty() bool { return r.entry == nil && r.obj == nil }

// GVK is the kind of an entry; empty for values, which say it themselves.
func (r Result) GVK() schema.GroupVersionKind {
	if r.entry != nil {
		return r.entry.GVK()
	}
	return schema.GroupVersionKind{}
}

// Entry is what the result is of; nil for a value.
func (r Result) Entry() *cache.Entry { return r.entry }

// Object returns the object, frozen.
func (r Result) Object() (runtime.Object, error) {
	if r.entry != nil {
		return r.entry.Object()
	}
	return r.obj, nil
}

// Meta returns the object with its metadata; it fails for answers that have none (Status).
func (r Result) Meta() (api.Object, error) {
	if r.entry != nil {
		return r.entry.Object()
	}
	o, ok := r.obj.(api.Object)
	if !ok {
		return nil, fmt.Errorf("%T has no metadata", r.obj)
	}
	return o, nil
}

// Metadata returns the object or just its metadata, whichever costs less.
func (r Result) Metadata() (api.Object, error) {
	if r.entry != nil {
		return r.entry.Metadata()
	}
	return r.Meta()
}

// JSON returns the object's JSON, without a newline.
func (r Result) JSON() ([]byte, error) {
	if r.entry != nil {
		return r.entry.JSON()
	}
	return api.EncodeJSON(r.obj)
}

// Proto returns the bare protobuf message.
func (r Result) Proto() ([]byte, error) {
	if r.entry != nil {
		return r.entry.Proto()
	}
	m, ok := r.obj.(interface{ Marshal() ([]byte, error) })
	if !ok {
		return nil, api.NoProto(r.obj)
	}
	return m.Marshal()
}
