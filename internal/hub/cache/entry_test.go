package cache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSpliceMatchesEncoding(t *testing.T) {
	long := pod(strings.Repeat("n", 63), "node")
	long.Annotations = map[string]string{"big": strings.Repeat("x", 300), "edge": strings.Repeat("y", 40)}
	// Metadata whose length is just below where its length prefix grows by a byte.
	edge := &corev1.Pod{}
	for n := 60; ; n++ {
		edge.Name = strings.Repeat("e", n)
		if edge.ObjectMeta.Size() >= 122 {
			break
		}
	}
	for _, p := range []*corev1.Pod{pod("a", "n"), {}, long, edge} {
		for _, rv := range []string{"1", "17", "9223372036854775807"} {
			_, msg, ok := open(encode(t, p))
			if !ok {
				t.Fatal("envelope not understood")
			}
			got, ok := splice(msg, rv)
			if !ok {
				t.Fatal("message not understood")
			}
			c := p.DeepCopy()
			c.ResourceVersion = rv
			want, err := c.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%.10s at %s: splice differs from encoding", p.Name, rv)
			}
			back, ok := splice(got, "")
			if !ok || !bytes.Equal(back, msg) {
				t.Errorf("%.10s at %s: splice is not reversible", p.Name, rv)
			}
		}
	}
}

func TestSpliceRefusesOtherBytes(t *testing.T) {
	for _, b := range []string{"", "x", "\x0a", "\x0a\x05abc", "\x12\x00", "\x0a\x00\x0a\x00", "\x0a\x02\x30\x01", "\x0f"} {
		if _, ok := splice([]byte(b), "1"); ok {
			t.Errorf("%q taken for an object", b)
		}
	}
}

func FuzzSplice(f *testing.F) {
	for _, p := range []*corev1.Pod{pod("a", "n"), {}} {
		b, _ := p.Marshal()
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, ok := splice(b, "12345"); ok {
			if again, ok := splice(got, "12345"); !ok || !bytes.Equal(got, again) {
				t.Errorf("splice is not stable")
			}
		}
		open(append([]byte("k8s\x00"), b...))
	})
}

func entryOf(t *testing.T, stored []byte) *Entry {
	return newEntry(pods, new(atomic.Pointer[envelope]), nil, "/registry/pods/d/a", 42, stored)
}

func TestEntryForms(t *testing.T) {
	p := pod("a", "n1")
	want := p.DeepCopy()
	want.ResourceVersion = "42"
	want.APIVersion, want.Kind = "v1", "Pod"
	want.Spec.RestartPolicy = corev1.RestartPolicyAlways // by Default

	js, err := api.EncodeJSON(p.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	for name, stored := range map[string][]byte{"protobuf": encode(t, p.DeepCopy()), "json": js} {
		t.Run(name, func(t *testing.T) {
			e := entryOf(t, stored)
			var wg sync.WaitGroup
			objs := make([]api.Object, 8)
			for i := range objs {
				wg.Go(func() { objs[i], _ = e.Object() })
			}
			j, err := e.JSON()
			if err != nil {
				t.Fatal(err)
			}
			m, err := e.Proto()
			if err != nil {
				t.Fatal(err)
			}
			wg.Wait()
			for _, o := range objs {
				if o != objs[0] {
					t.Fatal("decoded more than once")
				}
			}
			if !equality.Semantic.DeepEqual(objs[0], want) {
				t.Errorf("object %+v", objs[0])
			}
			var fromJSON, fromProto corev1.Pod
			if err := json.Unmarshal(j, &fromJSON); err != nil || !equality.Semantic.DeepEqual(&fromJSON, want) {
				t.Errorf("json %s %v", j, err)
			}
			if err := fromProto.Unmarshal(m); err != nil || fromProto.ResourceVersion != "42" || fromProto.Name != "a" {
				t.Errorf("protobuf %v %v", fromProto, err)
			}
			if !bytes.Equal(e.Stored(), stored) {
				t.Error("the stored bytes have changed")
			}
			if got := partOf(pods)(e); got != "n1" {
				t.Errorf("node %q", got)
			}
			j2, _ := e.JSON()
			m2, _ := e.Proto()
			if &j2[0] != &j[0] || &m2[0] != &m[0] {
				t.Error("a form was made twice")
			}
		})
	}
}

func TestEntryOfBrokenValue(t *testing.T) {
	for _, b := range []string{"", "k8s\x00", "k8s\x00garbage", "{", "k8s\x00\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x03\x0a\x7f\x00"} {
		e := entryOf(t, []byte(b))
		if o, err := e.Object(); err == nil {
			t.Errorf("%q decodes to %v", b, o)
		}
		if _, err := e.JSON(); err == nil {
			t.Errorf("%q has JSON", b)
		}
		partOf(pods)(e)
	}
}

func TestLearnSharesTheWritersObject(t *testing.T) {
	for _, order := range []string{"before the feed", "after the feed"} {
		inWorld(t, func(w *world) {
			p := pod("a", "n1")
			stored := encode(t, p)
			rev, err := w.st.Create(w.ctx, w.key("a"), stored, 0)
			if err != nil {
				t.Fatal(err)
			}
			if order == "after the feed" {
				synctest.Wait()
			}
			e := w.c.Learn(w.key("a"), rev, stored, p)
			s, err := w.c.Snapshot(w.ctx, rev)
			if err != nil {
				t.Fatal(err)
			}
			o, err := s.Get(w.key("a")).Object()
			if err != nil || o != api.Object(p) || p.ResourceVersion != fmt.Sprint(rev) || s.Get(w.key("a")) != e {
				t.Errorf("%s: the cache has another object", order)
			}
			synctest.Wait()
			if len(w.c.mu.learned) != 0 {
				t.Errorf("%s: %d learned entries left", order, len(w.c.mu.learned))
			}
		})
	}
}

// A decoded object holds its managed fields once, in the message; the object that the writer took them from is untouched.
func TestManagedFieldsAreHeldOnce(t *testing.T) {
	raw := []byte(`{"f:data":{"f:x":{}}}`)
	before := pod("a", "n1")
	before.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m", FieldsV1: &metav1.FieldsV1{Raw: raw}}}
	p := before.DeepCopy()
	p.ManagedFields = before.ManagedFields // as an update that changed none of them has it
	e := entryOf(t, encode(t, p.DeepCopy()))
	e.keep(p)
	got := p.ManagedFields[0].FieldsV1.Raw
	if !bytes.Equal(got, raw) || cap(got) != len(got) {
		t.Errorf("fields %q", got)
	}
	at := bytes.Index(e.msg, raw)
	if at < 0 || &got[0] != &e.msg[at] {
		t.Error("the fields are held twice")
	}
	if &before.ManagedFields[0].FieldsV1.Raw[0] != &raw[0] {
		t.Error("another object was changed")
	}
}

// What is asked for its metadata is not decoded for that.
func TestMetadataAlone(t *testing.T) {
	p := pod("a", "n1")
	p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m", FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:x":{}}`)}}}
	e := entryOf(t, encode(t, p))
	o, err := e.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	got, ok := o.(*metav1.PartialObjectMetadata)
	p.ResourceVersion = "42"
	if !ok || e.Decoded() != nil || !equality.Semantic.DeepEqual(got.ObjectMeta, p.ObjectMeta) || got.Kind != "Pod" {
		t.Errorf("%T %+v", o, o)
	}
	whole, err := e.Object()
	if o, oerr := e.Metadata(); err != nil || oerr != nil || o != whole {
		t.Errorf("an object that is decoded already is not used: %T, %v %v", o, err, oerr)
	}
}

func BenchmarkNewEntry(b *testing.B) {
	stored := encode(b, pod("a", "n1"))
	envs := new(atomic.Pointer[envelope])
	b.ReportAllocs()
	for b.Loop() {
		newEntry(pods, envs, nil, "/registry/pods/d/a", 42, stored)
	}
}

// counting is a codec that counts what it decodes.
type counting struct {
	api.TypedJSON
	decoded *int
}

func (c counting) Decode(data []byte, fresh api.Object) (api.Object, error) {
	*c.decoded++
	return c.TypedJSON.Decode(data, fresh)
}

// Of a bulky kind those who ask one after another get one object, the writer's for instance, and none is held for good.
func TestBulky(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // but when the test says so
	decoded := 0
	kind := &api.Kind{Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Namespaced: true, New: func() api.Object { return &corev1.ConfigMap{} }, Codec: counting{decoded: &decoded}, Bulky: true}
	o := &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string]string{"k": "v"}}
	stored, err := api.EncodeJSON(o)
	if err != nil {
		t.Fatal(err)
	}
	e := written(kind, new(atomic.Pointer[envelope]), nil, "a", 1, stored, o)
	for i := range 3 {
		got, err := e.Object()
		if err != nil || got.(*corev1.ConfigMap).Data["k"] != "v" || got.GetResourceVersion() != "1" {
			t.Fatalf("%v %v", got, err)
		}
		if i < 2 && decoded != i {
			t.Errorf("read %d: decoded %d times", i, decoded)
		}
		if i == 0 {
			gone := make(chan struct{})
			runtime.AddCleanup(o, func(struct{}) { close(gone) }, struct{}{})
			o, got = nil, nil
			for collected := false; !collected; {
				runtime.GC()
				select {
				case <-gone:
					collected = true
				default:
					runtime.Gosched()
				}
			}
		}
	}
}
