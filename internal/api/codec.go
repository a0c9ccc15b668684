package api

import (
	"bytes"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

var (
	protoCodec = protobuf.NewSerializer(Scheme, Scheme)
	jsonCodec  = json.NewSerializerWithOptions(json.DefaultMetaFactory, Scheme, Scheme, json.SerializerOptions{})
)

// envelopeMost is room for what EncodeStored puts around an object.
const envelopeMost = 128

// scratches are what objects are encoded in before they are copied out.
var scratches = sync.Pool{New: func() any { return &runtime.Allocator{} }}

// SetGVK fills in the apiVersion and kind of obj from the scheme, so that its encodings carry them.
func SetGVK(obj runtime.Object) error {
	if !obj.GetObjectKind().GroupVersionKind().Empty() {
		return nil
	}
	gvks, _, err := Scheme.ObjectKinds(obj)
	if err != nil {
		return fmt.Errorf("kind of %T: %w", obj, err)
	}
	obj.GetObjectKind().SetGroupVersionKind(gvks[0])
	return nil
}

// EncodeStored returns the storage form of obj, upstream's: the four bytes "k8s\0" and a runtime.Unknown in protobuf that
// holds apiVersion, kind and the object. resourceVersion and selfLink are left out of it by the caller, who clears them.
func EncodeStored(obj Object) ([]byte, error) {
	if err := SetGVK(obj); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if s, ok := obj.(interface{ Size() int }); ok {
		b.Grow(s.Size() + envelopeMost) // once, instead of by doubling
	}
	scratch := scratches.Get().(*runtime.Allocator)
	defer scratches.Put(scratch)
	if err := protoCodec.EncodeWithAllocator(obj, &b, scratch); err != nil {
		return nil, fmt.Errorf("encode %T for storage: %w", obj, err)
	}
	return b.Bytes(), nil
}

// DecodeStored reads what EncodeStored wrote, or JSON, into a new object. The apiVersion and kind are set on it.
func DecodeStored(data []byte, into Object) (Object, error) {
	var dec runtime.Decoder = jsonCodec
	if bytes.HasPrefix(data, []byte("k8s\x00")) {
		dec = protoCodec
	}
	obj, gvk, err := dec.Decode(data, nil, into)
	if err != nil {
		return nil, fmt.Errorf("decode stored %T: %w", into, err)
	}
	o, ok := obj.(Object)
	if !ok {
		return nil, fmt.Errorf("decode stored: %T is not an object", obj)
	}
	if gvk != nil {
		o.GetObjectKind().SetGroupVersionKind(*gvk)
	}
	return o, nil
}

// EncodeJSON returns the JSON of obj, without a newline at its end.
func EncodeJSON(obj runtime.Object) ([]byte, error) {
	if err := SetGVK(obj); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := jsonCodec.Encode(obj, &b); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// GVKOf returns the group, version and kind that the scheme has for obj's type.
func GVKOf(obj runtime.Object) (schema.GroupVersionKind, error) {
	gvks, _, err := Scheme.ObjectKinds(obj)
	if err != nil {
		return schema.GroupVersionKind{}, err
	}
	return gvks[0], nil
}
