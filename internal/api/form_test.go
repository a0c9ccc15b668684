package api_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apitest"
	"sampan.dev/internal/api/core"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestCodecs has every codec keep the promises of api.Codec.
func TestCodecs(t *testing.T) {
	typed := func() api.Object {
		return &corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"x": "1"}, Annotations: map[string]string{}},
			Data:       map[string]string{"k": "v"},
		}
	}
	untyped := func() api.Object {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "test.sampan.dev/v1", "kind": "Gauge",
			"metadata": map[string]any{"name": "a", "labels": map[string]any{"x": "1"}},
			"data":     map[string]any{"whole": 3.0, "part": 0.5, "large": 1e21, "list": []any{4.0, "x", nil, map[string]any{"n": 5.0}}},
		}}
	}
	for name, c := range map[string]struct {
		kind  *api.Kind
		fresh func() api.Object
	}{
		"typed":        {core.ConfigMaps(), typed},
		"unstructured": {apitest.Gauges()[0], untyped},
	} {
		t.Run(name, func(t *testing.T) { testCodec(t, c.kind, c.fresh) })
	}
}

func testCodec(t *testing.T, k *api.Kind, fresh func() api.Object) {
	codec := api.CodecOf(k)
	obj := fresh()
	codec.Settle(obj)
	stored, err := codec.Encode(obj)
	if err != nil {
		t.Fatal(err)
	}
	back, err := codec.Decode(stored, k.New())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, obj) {
		t.Errorf("a settled object comes back as %#v, was %#v", back, obj)
	}
	if gvk := back.GetObjectKind().GroupVersionKind(); gvk != k.GVK() {
		t.Errorf("it comes back as %v", gvk)
	}
	text, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	if read, err := codec.Decode(text, k.New()); err != nil || !reflect.DeepEqual(read, obj) {
		t.Errorf("from JSON: %#v, %v", read, err)
	}

	// A shallow copy may be changed at its top, and obj does not notice.
	before := obj.DeepCopyObject()
	copied := codec.Shallow(obj)
	copied.SetResourceVersion("7")
	copied.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "m", Operation: metav1.ManagedFieldsOperationUpdate, FieldsType: "FieldsV1"}})
	copied.SetLabels(nil)
	codec.Drop(copied, "data")
	codec.Drop(copied, "absent")
	if !reflect.DeepEqual(obj, before) {
		t.Errorf("a change of the copy shows in the object: %#v", obj)
	}
	top := map[string]any{}
	if err := json.Unmarshal(mustJSON(t, copied), &top); err != nil {
		t.Fatal(err)
	}
	if _, there := top["data"]; there || copied.GetResourceVersion() != "7" || copied.GetName() != "a" {
		t.Errorf("the copy is %v", top)
	}

	for _, bad := range []string{"", "{", "k8s\x00\xff", `[]`} {
		if got, err := codec.Decode([]byte(bad), k.New()); err == nil {
			t.Errorf("%q was decoded: %v", bad, got)
		}
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
