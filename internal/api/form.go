package api

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Codec is how the objects of a kind are kept and copied. It runs no goroutines and keeps nothing. The objects it is given may
// be frozen, unless a method says that it changes them.
type Codec interface {
	// Encode returns the stored form. resourceVersion and selfLink are left out of it by the caller, who clears them.
	Encode(obj Object) ([]byte, error)
	// Decode reads what Encode wrote, or JSON, into a new object, and sets its apiVersion and kind.
	Decode(data []byte, fresh Object) (Object, error)
	// Settle makes obj what anybody else reads of it, who decodes its stored form. It changes obj, and only where there is
	// something to drop.
	Settle(obj Object)
	// Shallow returns a copy whose metadata and whose top-level fields can be set without obj noticing. All below is shared.
	Shallow(obj Object) Object
	// Drop takes a top-level field ("status") off a shallow copy.
	Drop(copied Object, field string)
	// Proto reports whether objects have a protobuf form.
	Proto() bool
	// JSON reports whether the stored form is the object's JSON without resourceVersion, which is then all that need be kept to
	// answer readers.
	JSON() bool
}

// CodecOf is the codec of a kind: Typed unless the kind has another.
func CodecOf(k *Kind) Codec {
	if k.Codec != nil {
		return k.Codec
	}
	return Typed{}
}

// Typed is the codec of kinds whose objects are structs of the scheme, which are stored in upstream's protobuf envelope.
type Typed struct{}

var _ Codec = Typed{}

// Encode implements Codec.
func (Typed) Encode(obj Object) ([]byte, error) { return EncodeStored(obj) }

// Decode implements Codec.
func (Typed) Decode(data []byte, fresh Object) (Object, error) { return DecodeStored(data, fresh) }

// Settle implements Codec.
func (Typed) Settle(obj Object) { Settle(obj) }

// Shallow implements Codec.
func (Typed) Shallow(obj Object) Object {
	v := reflect.New(reflect.TypeOf(obj).Elem())
	v.Elem().Set(reflect.ValueOf(obj).Elem())
	return v.Interface().(Object)
}

// Drop implements Codec.
func (Typed) Drop(copied Object, field string) {
	if f := reflect.ValueOf(copied).Elem().FieldByName(strings.ToUpper(field[:1]) + field[1:]); f.IsValid() {
		f.SetZero()
	}
}

// Proto implements Codec.
func (Typed) Proto() bool { return true }

// JSON implements Codec.
func (Typed) JSON() bool { return false }

// NoProto refuses the protobuf form of obj, which has none, in upstream's words: a 406.
func NoProto(obj any) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable,
		Message: fmt.Sprintf("object %T does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message", obj),
	}}
}
