package control_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// doom is when a manager dies: at which of one controller's writes, and whether that write is made before its answer is lost.
type doom struct {
	account string
	at      int  // counted from 0; less: it does not die
	made    bool // the write at which it dies is made
	die     func()

	mu     sync.Mutex
	writes []string // so far, as "verb resource"
}

var errDead = errors.New("the process has ended")

// around makes a write, unless the manager is dead or dies of it.
func (f *doom) around(what string, ref client.Ref, do func() (runtime.Object, error)) (runtime.Object, error) {
	if ref.Resource.Resource == "events" {
		return do()
	}
	f.mu.Lock()
	n := len(f.writes)
	f.writes = append(f.writes, what+" "+ref.Resource.Resource+"/"+ref.Subresource)
	f.mu.Unlock()
	switch {
	case f.at < 0 || n < f.at:
		return do()
	case n == f.at && f.made:
		_, _ = do()
	}
	f.die()
	return nil, errDead
}

// doomedDoor is a controller's door in a manager with a doom.
type doomedDoor struct {
	client.Interface
	*doom
}

func (f doomedDoor) Create(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error) {
	return f.around("create", ref, func() (runtime.Object, error) { return f.Interface.Create(ctx, ref, obj, opts) })
}

func (f doomedDoor) Update(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.UpdateOptions) (runtime.Object, error) {
	return f.around("update", ref, func() (runtime.Object, error) { return f.Interface.Update(ctx, ref, obj, opts) })
}

func (f doomedDoor) Patch(ctx context.Context, ref client.Ref, pt types.PatchType, data []byte, opts metav1.PatchOptions) (runtime.Object, error) {
	return f.around("patch", ref, func() (runtime.Object, error) { return f.Interface.Patch(ctx, ref, pt, data, opts) })
}

func (f doomedDoor) Delete(ctx context.Context, ref client.Ref, opts metav1.DeleteOptions) error {
	_, err := f.around("delete", ref, func() (runtime.Object, error) { return nil, f.Interface.Delete(ctx, ref, opts) })
	return err
}

// managed runs a manager with a doom, and when that has died another without.
func (b *bench) managed(f *doom) {
	ctx, cancel := context.WithCancel(b.Context())
	f.die = cancel
	run := func(ctx context.Context, wrap func(api.User, client.Interface) client.Interface) {
		m, err := control.New(control.Config{
			Kinds: all.Kinds(), Log: slog.New(slog.DiscardHandler), Controllers: []string{"*", "-node-lifecycle-controller"},
			Doors: func(user api.User, agent string) client.Interface { return wrap(user, b.hub.Door(user, agent)) },
		})
		if err != nil {
			b.Error(err)
			return
		}
		if err := m.Run(ctx); err != nil {
			b.Error(err)
		}
	}
	done := make(chan struct{})
	b.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		run(ctx, func(user api.User, door client.Interface) client.Interface {
			if user.Name == api.ServiceAccount("kube-system", f.account, "").Name {
				return doomedDoor{door, f}
			}
			return door
		})
		run(b.Context(), func(_ api.User, door client.Interface) client.Interface { return door })
	}()
}

// outcome is all that a workload has left, without what is another in each run.
func (b *bench) outcome() string {
	b.Helper()
	var out []string
	for _, p := range b.podsOf("default", nil) {
		name := p.Name
		if p.GenerateName == "agent-" {
			name = "agent on " + p.Spec.NodeName
		}
		out = append(out, fmt.Sprint("pod ", name, " ", p.Status.Phase, p.DeletionTimestamp != nil, p.Labels))
	}
	for _, r := range b.revisions() {
		out = append(out, fmt.Sprint("revision ", r.Name, " ", r.Revision, r.Labels, len(r.OwnerReferences)))
	}
	claims, err := client.ListAll[*corev1.PersistentVolumeClaim](b.Context(), b.door, client.PersistentVolumeClaims, "default", metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range claims {
		owners := ""
		for _, o := range c.OwnerReferences {
			owners += " " + o.Kind + "/" + o.Name
		}
		out = append(out, fmt.Sprint("claim ", c.Name, c.Labels, owners))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// crashes runs a workload undisturbed, and then with a crash at each of its controller's writes, before and after the write was
// made. What is left must not differ, and at most spare pods more are made for it.
func crashes(t *testing.T, account string, nodes, spare int, workload func(b *bench) (status any)) {
	one := func(t *testing.T, f *doom) (outcome string, made int) {
		inBubble(t, control.Config{Controllers: []string{"node-lifecycle-controller"}}, func(b *bench) {
			for i := range nodes {
				b.addNode(fmt.Sprint("n", i), nil)
			}
			b.settle(time.Second)
			b.managed(f)
			status := workload(b)
			b.settle(time.Minute)
			outcome, made = fmt.Sprintf("%s\nstatus %+v", b.outcome(), status), b.createdPods()
		})
		return outcome, made
	}
	calm := &doom{account: account, at: -1}
	want, pods := one(t, calm)
	t.Logf("%d writes: %s", len(calm.writes), strings.Join(calm.writes, ", "))
	for at := range calm.writes {
		for _, made := range []bool{false, true} {
			got, more := one(t, &doom{account: account, at: at, made: made})
			if more -= pods; got != want || more < 0 || more > spare {
				t.Errorf("crash at write %d (%s), made: %t: %d pods more\n%s\nundisturbed:\n%s", at, calm.writes[at], made, more, got, want)
			}
		}
	}
}

func TestStatefulSetCrashes(t *testing.T) {
	crashes(t, "statefulset-controller", 2, 0, func(b *bench) any {
		b.addSet(statefulSet("web", 2, withClaim(true, true), func(s *appsv1.StatefulSet) { s.Spec.RevisionHistoryLimit = new(int32) }))
		b.await("set", time.Hour, b.setDone("web"))
		b.changeSet("web", image("busybox:2"))
		b.await("rollout", time.Hour, b.setDone("web"))
		b.changeSet("web", replicas(1))
		b.await("scaling down", time.Hour, b.setDone("web"))
		return b.set("web").Status.ReadyReplicas
	})
}

func TestDaemonSetCrashes(t *testing.T) {
	// What was asked for and not seen yet is known in memory alone, as upstream: who comes after a crash may make a pod once more.
	crashes(t, "daemon-set-controller", 2, 1, func(b *bench) any {
		b.addDaemons(daemonSet("agent", func(ds *appsv1.DaemonSet) { ds.Spec.RevisionHistoryLimit = new(int32) }))
		b.await("daemons", time.Hour, b.daemonsOn("agent", 2))
		b.changeDaemons("agent", func(ds *appsv1.DaemonSet) { ds.Spec.Template.Spec.Containers[0].Image = "busybox:2" })
		b.await("rollout", time.Hour, b.daemonsOn("agent", 2))
		if err := client.Delete(b.Context(), b.door, client.Nodes, "", "n1", ""); err != nil {
			b.Fatal(err)
		}
		b.await("one fewer", time.Hour, b.daemonsOn("agent", 1))
		s := b.daemons("agent").Status
		s.ObservedGeneration = 0
		return s
	})
}
