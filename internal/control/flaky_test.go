package control_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// flaky is a door whose writes fail now and then: before they were made, or, worse, after.
type flaky struct {
	client.Interface
	rnd *source
}

type source struct {
	sync.Mutex
	r *rand.Rand
}

var errLost = errors.New("connection lost")

// draw returns what goes wrong: nothing, before, after, or a server error.
func (s *source) draw() int {
	s.Lock()
	defer s.Unlock()
	if n := s.r.IntN(20); n < 3 {
		return n + 1
	}
	return 0
}

func (f *flaky) around(do func() (runtime.Object, error)) (runtime.Object, error) {
	switch f.rnd.draw() {
	case 1:
		return nil, errLost
	case 2:
		_, _ = do()
		return nil, errLost
	case 3:
		return nil, apierrors.NewInternalError(errLost)
	}
	return do()
}

func (f *flaky) Create(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error) {
	return f.around(func() (runtime.Object, error) { return f.Interface.Create(ctx, ref, obj, opts) })
}

func (f *flaky) Update(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.UpdateOptions) (runtime.Object, error) {
	return f.around(func() (runtime.Object, error) { return f.Interface.Update(ctx, ref, obj, opts) })
}

func (f *flaky) Patch(ctx context.Context, ref client.Ref, pt types.PatchType, data []byte, opts metav1.PatchOptions) (runtime.Object, error) {
	return f.around(func() (runtime.Object, error) { return f.Interface.Patch(ctx, ref, pt, data, opts) })
}

func (f *flaky) Delete(ctx context.Context, ref client.Ref, opts metav1.DeleteOptions) error {
	_, err := f.around(func() (runtime.Object, error) { return nil, f.Interface.Delete(ctx, ref, opts) })
	return err
}

// With every seventh write failing, rollouts still end, nothing is left over, and a namespace is still emptied.
func TestFlakyDoor(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := &source{r: rand.New(rand.NewPCG(seed, 2))}
			wrap := func(f client.Factory) client.Factory {
				return func(user api.User, agent string) client.Interface { return &flaky{f(user, agent), rnd} }
			}
			inBubble(t, control.Config{}, func(b *bench) {
				for i := range 3 {
					b.addNode(fmt.Sprint("n", i), nil)
				}
				b.service("web", nil)
				if _, err := client.Create(b.Context(), b.door, client.Deployments, deployment("default", "web", 15)); err != nil {
					b.Fatal(err)
				}
				for i := range 5 {
					b.change("default", "web", func(d *appsv1.Deployment) {
						*d.Spec.Replicas = int32(5 + 3*i)
						d.Spec.Template.Spec.Containers[0].Image = fmt.Sprint("busybox:", i)
					})
					b.settle(time.Duration(rnd.draw()) * time.Second)
				}
				b.await("rollout", 30*time.Minute, b.rolledOut("default", "web"))
				b.settle(10 * time.Minute)
				if n := len(b.podsOf("default", running)); n != 17 {
					b.Errorf("%d pods run", n)
				}
				n := 0
				for _, s := range b.slicesOf("web") {
					n += len(s.Endpoints)
				}
				if n != 17 {
					b.Errorf("%d endpoints", n)
				}
				if err := client.Delete(b.Context(), b.door, client.Deployments, "default", "web", ""); err != nil {
					b.Fatal(err)
				}
				b.settle(20 * time.Minute)
				sets, err := client.ListAll[*appsv1.ReplicaSet](b.Context(), b.door, client.ReplicaSets, "default", metav1.ListOptions{})
				if err != nil || len(sets) > 0 || len(b.podsOf("default", nil)) > 0 {
					b.Errorf("%d sets and %d pods are left, %v", len(sets), len(b.podsOf("default", nil)), err)
				}
			}, wrap)
		})
	}
}
