package clienttest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// watching is an open watch of config maps.
type watching struct {
	v *visit
	w watch.Interface
}

func (v *visit) watch(opts metav1.ListOptions) *watching {
	v.Helper()
	return &watching{v, must[watch.Interface](v)(v.Watch(v.ctx, v.ref(client.ConfigMaps, ""), opts))}
}

// next returns the next event, or ok false at the end of the stream.
func (w *watching) next() (ev watch.Event, ok bool) {
	w.v.Helper()
	select {
	case ev, ok = <-w.w.ResultChan():
		return ev, ok
	case <-w.v.ctx.Done():
		w.v.Fatal("no event came")
	}
	panic("unreachable")
}

// want takes one event that must be of type t and about name.
func (w *watching) want(t watch.EventType, name string) *corev1.ConfigMap {
	w.v.Helper()
	ev, ok := w.next()
	c, is := ev.Object.(*corev1.ConfigMap)
	if !ok || ev.Type != t || !is || c.Name != name {
		w.v.Fatalf("event %s %+v (open: %v), want %s %s", ev.Type, ev.Object, ok, t, name)
	}
	if c.Kind != "ConfigMap" || c.APIVersion != "v1" {
		w.v.Errorf("%s %s is a %q %q", t, name, c.APIVersion, c.Kind)
	}
	return c
}

// ends checks that the stream closes without saying more.
func (w *watching) ends() {
	w.v.Helper()
	if ev, ok := w.next(); ok {
		w.v.Errorf("one event too many: %s %+v", ev.Type, ev.Object)
	}
}

func watches(v *visit) {
	a := v.put("a", nil)
	w := v.watch(metav1.ListOptions{ResourceVersion: a.ResourceVersion})
	v.put("b", nil)
	b2 := v.touch("b", "2")
	v.remove("a")
	w.want(watch.Added, "b")
	if got := w.want(watch.Modified, "b"); got.ResourceVersion != b2.ResourceVersion || got.Data["k"] != "2" {
		v.Errorf("modified: %+v, want %+v", got, b2)
	}
	gone := w.want(watch.Deleted, "a")
	if gone.UID != a.UID || gone.Data["k"] != "v" || number(v, gone.ResourceVersion) <= number(v, b2.ResourceVersion) {
		v.Errorf("deleted: %+v", gone)
	}
	w.w.Stop()
	// What has happened is told again to whoever comes with an older revision.
	w = v.watch(metav1.ListOptions{ResourceVersion: b2.ResourceVersion})
	w.want(watch.Deleted, "a")
	w.w.Stop()
}

func number(v *visit, rv string) int64 {
	v.Helper()
	n, err := strconv.ParseInt(rv, 10, 64)
	if err != nil {
		v.Errorf("resourceVersion %q: %v", rv, err)
	}
	return n
}

func watchSelectors(v *visit) {
	a := v.put("a", map[string]string{"on": "1"})
	byLabel := v.watch(metav1.ListOptions{ResourceVersion: a.ResourceVersion, LabelSelector: "on=1"})
	byName := v.watch(metav1.ListOptions{ResourceVersion: a.ResourceVersion, FieldSelector: "metadata.name=b"})
	relabel := func(name, value string) {
		v.Helper()
		must[any](v)(client.MergePatch(v.ctx, v, v.ref(client.ConfigMaps, name), map[string]any{"metadata": map[string]any{"labels": map[string]any{"on": value}}}))
	}
	v.put("b", map[string]string{"on": "0"})
	relabel("b", "1") // comes into view
	relabel("a", "0") // leaves it
	v.touch("a", "2") // out of view
	v.touch("b", "2")
	v.remove("b")
	byLabel.want(watch.Added, "b")
	if left := byLabel.want(watch.Deleted, "a"); left.Labels["on"] != "1" {
		v.Errorf("what left the view is told as %v, want its last state in view", left.Labels)
	}
	byLabel.want(watch.Modified, "b")
	byLabel.want(watch.Deleted, "b")
	byName.want(watch.Added, "b")
	byName.want(watch.Modified, "b")
	byName.want(watch.Modified, "b")
	byName.want(watch.Deleted, "b")
	byLabel.w.Stop()
	byName.w.Stop()
}

func watchInitial(v *visit) {
	v.put("a", map[string]string{"i": "1"})
	b := v.put("b", map[string]string{"i": "1"})
	v.put("c", nil)
	w := v.watch(metav1.ListOptions{
		LabelSelector: "i", SendInitialEvents: new(true), AllowWatchBookmarks: true,
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	seen := map[string]bool{}
	for range 2 {
		ev, _ := w.next()
		c, ok := ev.Object.(*corev1.ConfigMap)
		if ev.Type != watch.Added || !ok {
			v.Fatalf("initial event %s %+v", ev.Type, ev.Object)
		}
		seen[c.Name] = true
	}
	if !seen["a"] || !seen["b"] {
		v.Errorf("initial events: %v", seen)
	}
	mark := w.want(watch.Bookmark, "")
	if mark.Annotations[metav1.InitialEventsAnnotationKey] != "true" || number(v, mark.ResourceVersion) < number(v, b.ResourceVersion) {
		v.Errorf("bookmark: %+v", mark)
	}
	v.remove("a")
	w.want(watch.Deleted, "a")
	w.w.Stop()
	// Without a revision a watch tells what there is, too.
	w = v.watch(metav1.ListOptions{LabelSelector: "i"})
	w.want(watch.Added, "b")
	w.w.Stop()
}

func watchEnds(v *visit) {
	a := v.put("a", nil)
	w := v.watch(metav1.ListOptions{ResourceVersion: a.ResourceVersion, TimeoutSeconds: new(int64(1))})
	began := time.Now()
	w.ends()
	if d := time.Since(began); d > 10*time.Second {
		v.Errorf("a watch of one second took %v", d)
	}
	for range 20 { // closing races with reading
		w = v.watch(metav1.ListOptions{ResourceVersion: a.ResourceVersion})
		w.w.Stop()
		w.w.Stop() // twice is fine
		w.ends()
	}
	ctx, cancel := context.WithCancel(v.ctx)
	open := must[watch.Interface](v)(v.Watch(ctx, v.ref(client.ConfigMaps, ""), metav1.ListOptions{ResourceVersion: a.ResourceVersion}))
	cancel()
	for ev := range open.ResultChan() {
		v.Errorf("after its context: %s %+v", ev.Type, ev.Object)
	}
	open.Stop()
	if _, err := v.Watch(v.ctx, v.ref(client.ConfigMaps, ""), metav1.ListOptions{ResourceVersion: "abc"}); err == nil || apierrors.ReasonForError(err) != metav1.StatusReasonUnknown { // a bare 500, as upstream
		v.Errorf("watch from a resourceVersion that is none: %v", err)
	}
}

// watchExpired begins before everything that the hub knows, in the ways that the hub keeps its log for: the error is told, as
// an error of the call or as the one event of the stream.
func watchExpired(v *visit) {
	for name, opts := range map[string]metav1.ListOptions{
		"whole": {}, "by name": {FieldSelector: "metadata.name=a"}, "by label": {LabelSelector: "a=b"}, "with bookmarks": {AllowWatchBookmarks: true},
		"without initial events": {SendInitialEvents: new(false), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan},
		"for a while":            {TimeoutSeconds: new(int64(60))},
	} {
		opts.ResourceVersion = "1"
		err := v.refused(client.ConfigMaps, opts)
		if !apierrors.IsResourceExpired(err) {
			v.Errorf("%s: a watch from the beginning of time: %v", name, err)
		}
	}
	if err := v.refused(client.Pods, metav1.ListOptions{ResourceVersion: "1", FieldSelector: "spec.nodeName=n"}); !apierrors.IsResourceExpired(err) {
		v.Errorf("pods of a node: a watch from the beginning of time: %v", err)
	}
}

// watchFuture asks for initial events of a time to come, which is refused after a while.
func watchFuture(v *visit) {
	a := v.put("a", nil)
	err := v.refused(client.ConfigMaps, metav1.ListOptions{
		ResourceVersion: strconv.FormatInt(number(v, a.ResourceVersion)+1e6, 10), SendInitialEvents: new(true),
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true,
	})
	if !apierrors.IsTimeout(err) || !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		v.Errorf("a watch from the future: %v", err)
	}
}

// refused is what a watch is answered instead of events; the stream must end with it.
func (v *visit) refused(res schema.GroupVersionResource, opts metav1.ListOptions) error {
	v.Helper()
	w, err := v.Watch(v.ctx, v.ref(res, ""), opts)
	if err != nil {
		return err
	}
	defer w.Stop()
	open := &watching{v, w}
	ev, ok := open.next()
	if !ok {
		return errors.New("the stream ended without a word")
	}
	if ev.Type != watch.Error {
		return fmt.Errorf("event %s %+v", ev.Type, ev.Object)
	}
	open.ends()
	return apierrors.FromObject(ev.Object)
}
