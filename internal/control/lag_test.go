package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// lagging is a door whose watches are late, or those of one resource.
type lagging struct {
	client.Interface
	by   time.Duration
	only string // empty: all
}

type lateWatch struct {
	watch.Interface
	out chan watch.Event
}

func (w *lateWatch) ResultChan() <-chan watch.Event { return w.out }

func (l *lagging) Watch(ctx context.Context, ref client.Ref, opts metav1.ListOptions) (watch.Interface, error) {
	in, err := l.Interface.Watch(ctx, ref, opts)
	if err != nil || l.only != "" && l.only != ref.Resource.Resource {
		return in, err
	}
	type stamped struct {
		at time.Time
		ev watch.Event
	}
	line := make(chan stamped, 1<<16)
	go func() {
		defer close(line)
		for ev := range in.ResultChan() {
			line <- stamped{time.Now().Add(l.by), ev}
		}
	}()
	w := &lateWatch{in, make(chan watch.Event)}
	go func() {
		defer close(w.out)
		for s := range line {
			select {
			case <-time.After(time.Until(s.at)):
			case <-ctx.Done():
				continue
			}
			select {
			case w.out <- s.ev:
			case <-ctx.Done():
			}
		}
	}()
	return w, nil
}

// late has what the clients are told whose agents end so come so much later.
func late(agents string, by time.Duration) func(client.Factory) client.Factory {
	return lateOf(agents, "", by)
}

// lateOf is late for one resource alone, so that what is told of others overtakes it.
func lateOf(agents, resource string, by time.Duration) func(client.Factory) client.Factory {
	return func(f client.Factory) client.Factory {
		return func(user api.User, agent string) client.Interface {
			door := f(user, agent)
			if strings.HasSuffix(agent, agents) {
				return &lagging{door, by, resource}
			}
			return door
		}
	}
}

// However late the controllers' view is, they never make a pod twice.
func TestLateViewsMakeNothingTwice(t *testing.T) {
	for _, by := range []time.Duration{10 * time.Millisecond, 700 * time.Millisecond, 3 * time.Second} {
		t.Run(by.String(), func(t *testing.T) {
			inBubble(t, control.Config{}, func(b *bench) {
				for i := range 3 {
					b.addNode(fmt.Sprint("n", i), nil)
				}
				b.settle(10 * time.Second)
				b.service("web", nil)
				if _, err := client.Create(b.Context(), b.door, client.Deployments, deployment("default", "web", 40)); err != nil {
					b.Fatal(err)
				}
				b.await("rollout", 10*time.Minute, b.rolledOut("default", "web"))
				if n := b.createdPods(); n != 40 {
					b.Errorf("%d pods were created for 40 replicas", n)
				}
				b.change("default", "web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "busybox:2" })
				b.await("second rollout", 20*time.Minute, b.rolledOut("default", "web"))
				b.settle(time.Minute)
				if n := b.createdPods(); n != 80 {
					b.Errorf("%d pods were created for two revisions of 40", n)
				}
				if s := b.slicesOf("web"); len(s) != 1 || len(s[0].Endpoints) != 40 {
					b.Errorf("%d slices", len(s))
				}
			}, late("shared-informers", by))
		})
	}
}

// A dependent that the garbage collector has not seen yet is let go too.
func TestOrphaningSeesWhatIsNew(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		ctx := b.Context()
		mk := func(name string, owners ...metav1.OwnerReference) *corev1.ConfigMap {
			c, err := client.Create(ctx, b.door, client.ConfigMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, OwnerReferences: owners}})
			if err != nil {
				b.Fatal(err)
			}
			return c
		}
		owner := mk("owner")
		b.settle(10 * time.Second)
		orphan := metav1.DeletePropagationOrphan
		if err := b.door.Delete(ctx, client.Ref{Resource: client.ConfigMaps, Namespace: "default", Name: "owner"}, metav1.DeleteOptions{PropagationPolicy: &orphan}); err != nil {
			b.Fatal(err)
		}
		b.settle(time.Second)
		mk("child", metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "owner", UID: owner.UID})
		b.settle(time.Minute)
		c, err := client.Get[*corev1.ConfigMap](ctx, b.door, client.ConfigMaps, "default", "child")
		if err != nil || len(c.OwnerReferences) != 0 {
			b.Errorf("%+v %v", c, err)
		}
		if _, err := client.Get[*corev1.ConfigMap](ctx, b.door, client.ConfigMaps, "default", "owner"); !apierrors.IsNotFound(err) {
			b.Errorf("the owner is still there: %v", err)
		}
	}, late("generic-garbage-collector", 2*time.Second))
}
