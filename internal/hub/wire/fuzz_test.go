package wire

import (
	"net/http"
	"net/url"
	"testing"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A body that is taken strictly is taken laxly too, as the same object.
func FuzzDecode(f *testing.F) {
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}}}}
	stored, err := api.EncodeStored(pod)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(stored), `{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":"a"}]}}`, `{"spec":{"nodeName":"a","nodeName":"b"},"x":1}`, "spec: {containers: [{name: a}]}", "a: &a [*a]", `{"kind":"Node"}`} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(1))
		f.Add([]byte(s), uint8(2))
	}
	gvk := corev1.SchemeGroupVersion.WithKind("Pod")
	f.Fuzz(func(t *testing.T, data []byte, format uint8) {
		form := Format(format % 3)
		strict, err := Decode(data, form, Want{Fresh: &corev1.Pod{}, GVK: gvk}, metav1.FieldValidationStrict, func(string) {})
		if err != nil {
			return
		}
		lax, err := Decode(data, form, Want{Fresh: &corev1.Pod{}, GVK: gvk}, metav1.FieldValidationIgnore, func(string) {})
		if err != nil || !equality.Semantic.DeepEqual(strict, lax) {
			t.Errorf("strictly %v, laxly %v %v", strict, lax, err)
		}
	})
}

func FuzzDeleteOptions(f *testing.F) {
	for _, s := range []string{`{}`, `{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":1}`, `{"kind":"X","apiVersion":"a/b"}`, "k8s\x00", "propagationPolicy: Orphan"} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(2))
	}
	f.Fuzz(func(_ *testing.T, data []byte, format uint8) {
		_ = DecodeDeleteOptions(data, Format(format%3), &metav1.DeleteOptions{})
	})
}

// What is negotiated is one of what is offered.
func FuzzAccept(f *testing.F) {
	for _, s := range []string{"application/json", "application/json;as=Table;g=meta.k8s.io;v=v1,application/yaml;q=0.5", "*/*", "application/vnd.kubernetes.protobuf;stream=watch", ";;,", "text/html"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		out, err := Negotiate(&http.Request{URL: &url.URL{}, Header: http.Header{"Accept": {accept}}}, nil)
		if err == nil && (int(out.Format) >= len(types) || out.Convert.Kind != "") {
			t.Errorf("%q: %+v", accept, out)
		}
	})
}
