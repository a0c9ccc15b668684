package remote

import (
	"bytes"
	"fmt"
	"reflect"

	"sampan.dev/internal/api"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

// codecs hands out the plain serializers of api.Scheme. client-go's own would take apiVersion and kind off what they
// decode; the local door leaves them on, and one cannot tell the doors apart.
type codecs struct{}

func (codecs) SupportedMediaTypes() []runtime.SerializerInfo { return mediaTypes }

func (codecs) EncoderForVersion(e runtime.Encoder, _ runtime.GroupVersioner) runtime.Encoder {
	return e
}

func (codecs) DecoderToVersion(d runtime.Decoder, _ runtime.GroupVersioner) runtime.Decoder {
	return untypedToo{d}
}

// untypedToo decodes what has no Go type as well, from JSON, into unstructured objects.
type untypedToo struct{ runtime.Decoder }

func (d untypedToo) Decode(data []byte, gvk *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	obj, have, err := d.Decoder.Decode(data, gvk, into)
	if err != nil && into == nil && runtime.IsNotRegisteredError(err) {
		return unstructured.UnstructuredJSONScheme.Decode(data, gvk, nil)
	}
	return obj, have, err
}

var (
	mediaTypes   = serializer.NewCodecFactory(api.Scheme).SupportedMediaTypes()
	protoEncoder = protobuf.NewSerializer(api.Scheme, api.Scheme)
)

// encode returns the body for obj, which it leaves as it is because it may be shared, and its media type: protobuf, or JSON for
// what has no Go type.
func encode(obj runtime.Object) (body []byte, mediaType string, err error) {
	if u, ok := obj.(runtime.Unstructured); ok {
		body, err = runtime.Encode(unstructured.UnstructuredJSONScheme, u)
		return body, runtime.ContentTypeJSON, err
	}
	body, err = encodeTyped(obj)
	return body, runtime.ContentTypeProtobuf, err
}

func encodeTyped(obj runtime.Object) ([]byte, error) {
	if obj.GetObjectKind().GroupVersionKind().Empty() {
		v := reflect.New(reflect.TypeOf(obj).Elem())
		v.Elem().Set(reflect.ValueOf(obj).Elem())
		obj = v.Interface().(runtime.Object)
		if _, ok := obj.(*metav1.DeleteOptions); ok {
			// It belongs to every group; the core one is taken everywhere.
			obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "DeleteOptions"})
		} else if err := api.SetGVK(obj); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	if err := protoEncoder.Encode(obj, &b); err != nil {
		return nil, fmt.Errorf("encode %T: %w", obj, err)
	}
	return b.Bytes(), nil
}
