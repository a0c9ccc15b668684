package verb

import (
	"fmt"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/core"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestDeletionPlan walks through what a delete may find and ask for.
func TestDeletionPlan(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	pods := &api.Kind{Version: "v1", Kind: "Pod", Resource: "pods", Grace: func(_ api.Object, o *metav1.DeleteOptions) int64 {
		if o.GracePeriodSeconds != nil {
			return *o.GracePeriodSeconds
		}
		return 30
	}}
	maps := &api.Kind{Version: "v1", Kind: "ConfigMap", Resource: "configmaps"}
	spaces := &api.Kind{Version: "v1", Kind: "Namespace", Resource: "namespaces", Termination: core.Namespaces().Termination}
	orphans := &api.Kind{Version: "v1", Kind: "Old", Resource: "olds", DefaultOrphan: true}
	pod := func(since time.Duration, grace int64, finalizers ...string) api.Object {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x", Generation: 1, Finalizers: finalizers}}
		if since >= 0 {
			end := metav1.NewTime(at.Add(-since + time.Duration(grace)*time.Second))
			p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &end, &grace
		}
		return p
	}
	live := time.Duration(-1)
	for _, c := range []struct {
		name string
		kind *api.Kind
		old  api.Object
		opts metav1.DeleteOptions
		want string // action, seconds to the deletionTimestamp, grace period, finalizers
	}{
		{"pod", pods, pod(live, 0), metav1.DeleteOptions{}, "write 30 30 []"},
		{"pod at once", pods, pod(live, 0), metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}, "remove"},
		{"negative is one second", pods, pod(live, 0), metav1.DeleteOptions{GracePeriodSeconds: new(int64(-5))}, "write 1 1 []"},
		{"again", pods, pod(10*time.Second, 30), metav1.DeleteOptions{}, "keep"},
		{"again, longer", pods, pod(10*time.Second, 30), metav1.DeleteOptions{GracePeriodSeconds: new(int64(60))}, "keep"},
		{"again, shorter", pods, pod(10*time.Second, 30), metav1.DeleteOptions{GracePeriodSeconds: new(int64(20))}, "write 10 20 []"},
		{"again, shorter than has passed", pods, pod(10*time.Second, 30), metav1.DeleteOptions{GracePeriodSeconds: new(int64(5))}, "write 0 1 []"},
		{"again, now", pods, pod(10*time.Second, 30), metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}, "remove"},
		{"held pod, now", pods, pod(10*time.Second, 30, "f"), metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}, "write 0 0 [f]"},
		{"plain", maps, pod(live, 0), metav1.DeleteOptions{}, "remove"},
		{"held", maps, pod(live, 0, "f"), metav1.DeleteOptions{}, "write 0 0 [f]"},
		{"foreground", maps, pod(live, 0), metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationForeground)}, "write 0 0 [foregroundDeletion]"},
		{"orphan, the old way", maps, pod(live, 0), metav1.DeleteOptions{OrphanDependents: new(true)}, "write 0 0 [orphan]"},
		{"background overrides", maps, pod(live, 0, "foregroundDeletion"), metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}, "remove"},
		{"what is there stays", maps, pod(live, 0, "orphan", "f"), metav1.DeleteOptions{}, "write 0 0 [orphan f]"},
		{"by default orphan", orphans, pod(live, 0), metav1.DeleteOptions{}, "write 0 0 [orphan]"},
		{"namespace", spaces, &corev1.Namespace{Spec: corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{"kubernetes"}}}, metav1.DeleteOptions{}, "write 0 none []"},
	} {
		p := deletion(c.kind, c.old, &c.opts, at)
		got := [...]string{keep: "keep", write: "write", remove: "remove"}[p.act]
		if p.act == write {
			grace := "none"
			if g := p.obj.GetDeletionGracePeriodSeconds(); g != nil {
				grace = fmt.Sprint(*g)
			}
			when := fmt.Sprint(int(p.obj.GetDeletionTimestamp().Sub(at).Seconds()))
			got += fmt.Sprintf(" %s %s %v", when, grace, p.obj.GetFinalizers())
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
