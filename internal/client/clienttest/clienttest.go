package clienttest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Run runs the suite. open makes a door to a hub that is ready; the hub may be the same for all calls. Its store must have
// been written to, more than once, before the hub was started: what came before is history that the hub does not have.
func Run(t *testing.T, open func(t *testing.T) client.Interface) {
	for _, c := range []struct {
		name string
		f    func(*visit)
	}{
		{"create and get", createGet},
		{"generated names", generateName},
		{"what goes in is left alone", inputs},
		{"what comes out is frozen", outputs},
		{"update", update},
		{"status and scale", subresources},
		{"times as others read them", times},
		{"patches", patches},
		{"apply", applies},
		{"dry run", dryRun},
		{"delete", deletes},
		{"finalizers", finalizers},
		{"delete collection", deleteCollection},
		{"error classes", errorClasses},
		{"list by pages", listPages},
		{"list by selectors", listSelectors},
		{"list at revisions", listRevisions},
		{"metadata alone", metadataAlone},
		{"watch", watches},
		{"watch by selectors", watchSelectors},
		{"watch with initial events", watchInitial},
		{"watch ends", watchEnds},
		{"watch of lost history", watchExpired},
		{"watch of the future", watchFuture},
		{"what is served", served},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c.f(newVisit(t, ctx, open(t)))
		})
	}
}

// visit is one test: a door and a namespace of its own.
type visit struct {
	*testing.T
	client.Interface
	ctx context.Context
	ns  string
}

// rounds makes namespaces differ.
var rounds atomic.Int64

func newVisit(t *testing.T, ctx context.Context, door client.Interface) *visit {
	t.Helper()
	v := &visit{T: t, Interface: door, ctx: ctx, ns: fmt.Sprintf("door-%d-%d", time.Now().UnixMicro(), rounds.Add(1))}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v.ns}}
	if _, err := client.Create(ctx, door, client.Namespaces, ns); err != nil {
		t.Fatalf("create namespace: %v", err)
	}
	return v
}

func (v *visit) ref(res schema.GroupVersionResource, name string) client.Ref {
	return client.Ref{Resource: res, Namespace: v.ns, Name: name}
}

// must returns a value that has to be had.
func must[T any](v *visit) func(T, error) T {
	return func(x T, err error) T {
		v.Helper()
		if err != nil {
			v.Fatal(err)
		}
		return x
	}
}

// config makes a config map to be created.
func (v *visit) config(name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: v.ns, Name: name, Labels: labels},
		Data:       map[string]string{"k": "v"},
	}
}

// put creates a config map.
func (v *visit) put(name string, labels map[string]string) *corev1.ConfigMap {
	v.Helper()
	return must[*corev1.ConfigMap](v)(client.Create(v.ctx, v, client.ConfigMaps, v.config(name, labels)))
}

// get reads a config map.
func (v *visit) get(name string) *corev1.ConfigMap {
	v.Helper()
	return must[*corev1.ConfigMap](v)(client.Get[*corev1.ConfigMap](v.ctx, v, client.ConfigMaps, v.ns, name))
}

// touch changes a config map's data.
func (v *visit) touch(name, value string) *corev1.ConfigMap {
	v.Helper()
	c := v.get(name).DeepCopy()
	c.Data = map[string]string{"k": value}
	return must[*corev1.ConfigMap](v)(client.Update(v.ctx, v, client.ConfigMaps, c))
}

func (v *visit) remove(name string) {
	v.Helper()
	if err := client.Delete(v.ctx, v, client.ConfigMaps, v.ns, name, ""); err != nil {
		v.Fatal(err)
	}
}
