package clienttest

import (
	"fmt"
	"strings"
	"time"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

func errorClasses(v *visit) {
	_, err := v.Get(v.ctx, v.ref(client.ConfigMaps, "none"), metav1.GetOptions{})
	if want := `configmaps "none" not found`; !apierrors.IsNotFound(err) || err.Error() != want {
		v.Errorf("not found: %v, want %s", err, want)
	}
	var st apierrors.APIStatus
	if s, ok := err.(apierrors.APIStatus); ok {
		st = s
	}
	if st == nil || st.Status().Code != 404 || st.Status().Details == nil || st.Status().Details.Name != "none" || st.Status().Details.Kind != "configmaps" {
		v.Errorf("status of not found: %+v", err)
	}
	_, err = client.Create(v.ctx, v, client.ConfigMaps, v.config("Not A Name", nil))
	if !apierrors.IsInvalid(err) || !apierrors.HasStatusCause(err, metav1.CauseTypeFieldValueInvalid) || !strings.Contains(err.Error(), "metadata.name") {
		v.Errorf("invalid name: %v", err)
	}
	c := v.config("x", nil)
	c.Namespace = "another"
	if _, err := v.Create(v.ctx, v.ref(client.ConfigMaps, ""), c, metav1.CreateOptions{}); !apierrors.IsBadRequest(err) {
		v.Errorf("another namespace than the path's: %v", err)
	}
	nowhere := client.Ref{Resource: schema.GroupVersionResource{Group: "none.example.com", Version: "v1", Resource: "things"}}
	if _, err := v.List(v.ctx, nowhere, metav1.ListOptions{}); !apierrors.IsNotFound(err) {
		v.Errorf("unknown resource: %v", err)
	}
	if _, err := v.List(v.ctx, v.ref(client.ConfigMaps, ""), metav1.ListOptions{LabelSelector: "a in ("}); !apierrors.IsBadRequest(err) {
		v.Errorf("broken label selector: %v", err)
	}
	if _, err := v.List(v.ctx, v.ref(client.ConfigMaps, ""), metav1.ListOptions{FieldSelector: "data.k=v"}); !apierrors.IsBadRequest(err) {
		v.Errorf("unknown field in a selector: %v", err)
	}
}

// Whoever wants metadata alone gets that at least.
func metadataAlone(v *visit) {
	made := v.put("m", map[string]string{"a": "b"})
	ref := v.ref(client.ConfigMaps, "")
	ref.Metadata = true
	same := func(what string, o metav1.Object) {
		if o.GetUID() != made.UID || o.GetName() != "m" || o.GetNamespace() != v.ns || o.GetLabels()["a"] != "b" || o.GetResourceVersion() == "" || len(o.GetManagedFields()) == 0 {
			v.Errorf("%s: %+v", what, o)
		}
	}
	one := v.ref(client.ConfigMaps, "m")
	one.Metadata = true
	same("get", must[runtime.Object](v)(v.Get(v.ctx, one, metav1.GetOptions{})).(metav1.Object))
	l := must[*client.List](v)(v.List(v.ctx, ref, metav1.ListOptions{LabelSelector: "a=b"}))
	if len(l.Items) != 1 {
		v.Fatalf("%d items", len(l.Items))
	}
	same("list", l.Items[0])
	w := must[watch.Interface](v)(v.Watch(v.ctx, ref, metav1.ListOptions{ResourceVersion: l.ResourceVersion}))
	defer w.Stop()
	if err := v.Delete(v.ctx, v.ref(client.ConfigMaps, "m"), metav1.DeleteOptions{}); err != nil {
		v.Fatal(err)
	}
	ev := <-w.ResultChan()
	o, ok := ev.Object.(metav1.Object)
	if !ok || ev.Type != watch.Deleted {
		v.Fatalf("event %+v", ev)
	}
	same("watch", o)
}

func listPages(v *visit) {
	for i := range 7 {
		v.put(fmt.Sprintf("p%d", i), map[string]string{"page": "1"})
	}
	opts := metav1.ListOptions{Limit: 3, LabelSelector: "page"}
	var names []string
	for pages := 1; ; pages++ {
		l := must[*client.List](v)(v.List(v.ctx, v.ref(client.ConfigMaps, ""), opts))
		for _, o := range l.Items {
			names = append(names, o.GetName())
		}
		if pages == 1 {
			opts.ResourceVersion = ""
			v.put("p33", map[string]string{"page": "1"}) // later pages do not show it
			v.remove("p6")
		}
		if l.Continue == "" {
			if pages != 3 {
				v.Errorf("%d pages", pages)
			}
			break
		}
		opts.Continue = l.Continue
	}
	if got := strings.Join(names, " "); got != "p0 p1 p2 p3 p4 p5 p6" {
		v.Errorf("pages hold %s", got)
	}
	l := must[*client.List](v)(v.List(v.ctx, v.ref(client.ConfigMaps, ""), metav1.ListOptions{Limit: 1}))
	if l.RemainingItemCount == nil || *l.RemainingItemCount < 6 {
		v.Errorf("remaining: %v", l.RemainingItemCount)
	}
	if _, err := v.List(v.ctx, v.ref(client.ConfigMaps, ""), metav1.ListOptions{Limit: 1, Continue: "x"}); !apierrors.IsBadRequest(err) {
		v.Errorf("broken token: %v", err)
	}
}

func listSelectors(v *visit) {
	v.put("a", map[string]string{"app": "x", "tier": "1"})
	v.put("b", map[string]string{"app": "x", "tier": "2"})
	v.put("c", map[string]string{"app": "y"})
	for sel, want := range map[metav1.ListOptions]string{
		{LabelSelector: "app=x"}:                                        "a b",
		{LabelSelector: "app=x,tier!=1"}:                                "b",
		{LabelSelector: "app in (x,y),!tier"}:                           "c",
		{LabelSelector: "app", FieldSelector: "metadata.name=b"}:        "b",
		{LabelSelector: "app", FieldSelector: "metadata.name!=b"}:       "a c",
		{FieldSelector: "metadata.name=a"}:                              "a",
		{FieldSelector: "metadata.name=none"}:                           "",
		{LabelSelector: "app", FieldSelector: "metadata.namespace=foo"}: "",
	} {
		l := must[*client.List](v)(v.List(v.ctx, v.ref(client.ConfigMaps, ""), sel))
		var names []string
		for _, o := range l.Items {
			names = append(names, o.GetName())
			if gvk := o.GetObjectKind().GroupVersionKind(); gvk.Kind != "ConfigMap" || gvk.Version != "v1" {
				v.Errorf("an item is a %v", gvk)
			}
		}
		if got := strings.Join(names, " "); got != want || l.ResourceVersion == "" {
			v.Errorf("%+v: %q at %q, want %q", sel, got, l.ResourceVersion, want)
		}
	}
	all := must[[]*corev1.ConfigMap](v)(client.ListAll[*corev1.ConfigMap](v.ctx, v, client.ConfigMaps, "", metav1.ListOptions{}))
	n := 0
	for _, c := range all {
		if c.Namespace == v.ns && c.Labels["app"] != "" {
			n++
		}
	}
	if n != 3 {
		v.Errorf("%d of 3 in all namespaces", n)
	}
}

func listRevisions(v *visit) {
	a := v.put("a", map[string]string{"l": "1"})
	b := v.put("b", map[string]string{"l": "1"})
	v.remove("a")
	names := func(opts metav1.ListOptions) string {
		v.Helper()
		opts.LabelSelector = "l"
		var out []string
		for _, o := range must[*client.List](v)(v.List(v.ctx, v.ref(client.ConfigMaps, ""), opts)).Items {
			out = append(out, o.GetName())
		}
		return strings.Join(out, " ")
	}
	if got := names(metav1.ListOptions{ResourceVersion: b.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchExact}); got != "a b" {
		v.Errorf("exactly at b: %q", got)
	}
	if got := names(metav1.ListOptions{ResourceVersion: a.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchExact}); got != "a" {
		v.Errorf("exactly at a: %q", got)
	}
	if got := names(metav1.ListOptions{ResourceVersion: a.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}); got != "a" && got != "a b" && got != "b" {
		v.Errorf("not older than a: %q", got)
	}
	if got := names(metav1.ListOptions{}); got != "b" {
		v.Errorf("now: %q", got)
	}
	began := time.Now()
	_, err := v.List(v.ctx, v.ref(client.ConfigMaps, ""), metav1.ListOptions{ResourceVersion: "9000000000"})
	if !apierrors.IsTimeout(err) || !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		v.Errorf("the future, after %v: %v", time.Since(began), err)
	}
	if _, err := v.List(v.ctx, v.ref(client.ConfigMaps, ""), metav1.ListOptions{ResourceVersion: "abc"}); !apierrors.IsBadRequest(err) {
		v.Errorf("a resourceVersion that is none: %v", err)
	}
	if _, err := v.List(v.ctx, v.ref(client.ConfigMaps, ""), metav1.ListOptions{ResourceVersionMatch: metav1.ResourceVersionMatchExact}); !apierrors.IsInvalid(err) {
		v.Errorf("exactly nothing: %v", err)
	}
}
