package api

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What is decoded from the store can be stored again and means the same.
func FuzzStored(f *testing.F) {
	data, err := EncodeStored(&corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Data: map[string]string{"a": "b"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"b"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := DecodeStored(data, &corev1.ConfigMap{})
		if err != nil {
			return
		}
		again, err := EncodeStored(o)
		if err != nil {
			t.Fatal(err)
		}
		p, err := DecodeStored(again, &corev1.ConfigMap{})
		if err != nil || !equality.Semantic.DeepEqual(o, p) {
			t.Errorf("%v, again %v %v", o, p, err)
		}
	})
}
