//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// updated is how many ConfigMaps a writer changes over and over.
const updated = 8

// writer creates, updates and deletes ConfigMaps one after the other and keeps what was acknowledged.
type writer struct {
	door    dynamic.ResourceInterface
	unknown int // writes that ended in an error: they may or may not have happened
	mu      struct {
		sync.Mutex
		last    int64              // the newest resourceVersion acknowledged
		owners  map[int64]string   // resourceVersion → the write that got it
		present map[string]version // what must be there
		gone    map[string]bool    // what must not be there
		asked   map[string]int     // the newest number sent to each name, acknowledged or not
		wrong   []string
	}
}

// version is one acknowledged state of a ConfigMap.
type version struct {
	revision int64
	number   int
}

func newWriter(door dynamic.Interface) *writer {
	w := &writer{door: door.Resource(configMaps).Namespace("crash")}
	w.mu.owners, w.mu.present = map[int64]string{}, map[string]version{}
	w.mu.gone, w.mu.asked = map[string]bool{}, map[string]int{}
	return w
}

// run writes until ctx ends: about a hundred writes a second, so that there is one under way whenever the server dies.
func (w *writer) run(ctx context.Context) {
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		switch n % 4 {
		case 0, 1:
			w.put(ctx, fmt.Sprintf("new-%d", n), n)
		case 2:
			w.put(ctx, fmt.Sprintf("updated-%d", n/4%updated), n)
		case 3:
			w.remove(ctx, fmt.Sprintf("new-%d", n-43)) // created a while ago, or not
		}
	}
}

// put creates or updates the ConfigMap.
func (w *writer) put(ctx context.Context, name string, n int) {
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": name},
		"data":     map[string]any{"number": strconv.Itoa(n)},
	}}
	w.mu.Lock()
	_, exists := w.mu.present[name]
	w.mu.asked[name] = n
	w.mu.Unlock()
	var got *unstructured.Unstructured
	var err error
	if exists {
		got, err = w.door.Update(ctx, o, metav1.UpdateOptions{})
	} else {
		got, err = w.door.Create(ctx, o, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // by an earlier try that nobody answered
			got, err = w.door.Update(ctx, o, metav1.UpdateOptions{})
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.unknown++
		return
	}
	w.acknowledge(name+"="+strconv.Itoa(n), got)
	revision, _ := strconv.ParseInt(got.GetResourceVersion(), 10, 64)
	w.mu.present[name] = version{revision, n}
}

// remove deletes a ConfigMap whose creation was acknowledged.
func (w *writer) remove(ctx context.Context, name string) {
	w.mu.Lock()
	_, exists := w.mu.present[name]
	delete(w.mu.present, name) // until we know
	w.mu.Unlock()
	if !exists {
		return
	}
	err := w.door.Delete(ctx, name, metav1.DeleteOptions{})
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.unknown++
		return
	}
	w.mu.gone[name] = true
}

// acknowledge notes the resourceVersion of an acknowledged write. The writer writes one after the other, so each must be
// newer than all before it; the caller holds the lock.
func (w *writer) acknowledge(what string, got *unstructured.Unstructured) {
	revision, err := strconv.ParseInt(got.GetResourceVersion(), 10, 64)
	if err != nil {
		w.mu.wrong = append(w.mu.wrong, fmt.Sprintf("%s: %v", what, err))
		return
	}
	if owner := w.mu.owners[revision]; owner != "" {
		w.mu.wrong = append(w.mu.wrong, fmt.Sprintf("resourceVersion %d is that of %s and of %s", revision, owner, what))
	}
	if revision <= w.mu.last {
		w.mu.wrong = append(w.mu.wrong, fmt.Sprintf("%s got resourceVersion %d after %d", what, revision, w.mu.last))
	}
	w.mu.owners[revision] = what
	w.mu.last = max(w.mu.last, revision)
}

func (w *writer) acknowledged() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.mu.owners) + len(w.mu.gone)
}

// verify compares what was acknowledged before it began with what the server has.
func (w *writer) verify(t *testing.T, round int) {
	t.Helper()
	w.mu.Lock()
	present, gone := make(map[string]version, len(w.mu.present)), make(map[string]bool, len(w.mu.gone))
	for name, v := range w.mu.present {
		present[name] = v
	}
	for name := range w.mu.gone {
		gone[name] = true
	}
	last := w.mu.last
	w.mu.Unlock()
	list, err := w.door.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if at, _ := strconv.ParseInt(list.GetResourceVersion(), 10, 64); at < last {
		t.Errorf("round %d: the list is of resourceVersion %d, but %d was acknowledged", round, at, last)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range list.Items {
		name := o.GetName()
		if gone[name] {
			t.Errorf("round %d: %s was deleted and is there", round, name)
		}
		was, known := present[name]
		delete(present, name)
		if !known {
			continue
		}
		text, _, _ := unstructured.NestedString(o.Object, "data", "number")
		number, _ := strconv.Atoi(text)
		revision, _ := strconv.ParseInt(o.GetResourceVersion(), 10, 64)
		switch {
		case revision == was.revision && number == was.number:
		case revision > was.revision && number > was.number && number <= w.mu.asked[name]: // a later write of ours
		default:
			t.Errorf("round %d: %s was acknowledged as number %d at %d and is number %d at %d", round, name, was.number, was.revision, number, revision)
		}
	}
	for name, v := range present {
		if w.mu.gone[name] {
			continue // deleted since
		}
		if _, still := w.mu.present[name]; !still {
			continue // being deleted
		}
		t.Errorf("round %d: %s was acknowledged at %d and is lost", round, name, v.revision)
	}
	for _, text := range w.mu.wrong {
		t.Errorf("round %d: %s", round, text)
	}
	w.mu.wrong = nil
}
