package wire

import (
	"bytes"
	"net/http/httptest"
	"testing"
	"time"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/watch"
)

type item struct{ *corev1.Pod }

func (i item) Object() (runtime.Object, error) { return i.Pod, nil }
func (i item) JSON() ([]byte, error)           { return api.EncodeJSON(i.Pod) }
func (i item) Proto() ([]byte, error)          { return i.Pod.Marshal() }

var pods = &api.Kind{
	Version: "v1", Kind: "Pod", Resource: "pods", Namespaced: true, New: func() api.Object { return &corev1.Pod{} },
	Columns: []metav1.TableColumnDefinition{{Name: "Name", Type: "string"}, {Name: "Age", Type: "string"}},
	Row:     func(o api.Object) []any { return []any{o.GetName(), o.GetCreationTimestamp()} },
}

func pod(name string) item {
	return item{&corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{
		Name: name, CreationTimestamp: metav1.NewTime(time.Now().Add(-90 * time.Second)),
		Annotations: map[string]string{"long": string(bytes.Repeat([]byte("x"), 300))}, // lengths of two bytes
	}}}
}

// TestFrames compares what is concatenated with what apimachinery's serializers make of the same.
func TestFrames(t *testing.T) {
	w := httptest.NewRecorder()
	f, err := Output{Format: Proto}.NewFrames(w, pods, false)
	if err != nil {
		t.Fatal(err)
	}
	p := pod("a")
	if err := f.Write(watch.Modified, p); err != nil {
		t.Fatal(err)
	}
	f.Flush()
	var inner, want bytes.Buffer
	if err := protobuf.NewSerializer(api.Scheme, api.Scheme).Encode(p.Pod, &inner); err != nil {
		t.Fatal(err)
	}
	ev := metav1.WatchEvent{Type: "MODIFIED", Object: runtime.RawExtension{Raw: inner.Bytes()}}
	raw, err := ev.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	protobuf.LengthDelimitedFramer.NewFrameWriter(&want).Write(raw)
	if !bytes.Equal(w.Body.Bytes(), want.Bytes()) {
		t.Errorf("got  %q\nwant %q", w.Body.Bytes(), want.Bytes())
	}
}

func TestAges(t *testing.T) {
	o := Output{}
	o.Convert.Kind = "Table"
	tab := o.table(pods, metav1.ListMeta{})
	if err := o.row(tab, pods, pod("a"), time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := tab.Rows[0].Cells; got[0] != "a" || got[1] != "90s" {
		t.Errorf("%v", got)
	}
	if cell(metav1.Time{}, time.Now()) != "<unknown>" {
		t.Error("an object without a time has an age")
	}
}
