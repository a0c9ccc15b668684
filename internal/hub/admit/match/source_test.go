package match

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// slow is a door whose lists take a minute.
type slow struct {
	client.Reader
	lists atomic.Int32
}

func (s *slow) List(ctx context.Context, _ client.Ref, _ metav1.ListOptions) (*client.List, error) {
	s.lists.Add(1)
	select {
	case <-time.After(time.Minute):
		return &client.List{Items: []api.Object{&admissionv1.ValidatingWebhookConfiguration{}}}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// What many ask for at once is made once; who cannot wait any longer is told so, and the others are not kept.
func TestSourceIsMadeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := &slow{}
		s := NewSource(door, nil, func(all Objects) *int { n := len(all.Served[0]); return &n }, client.ValidatingWebhooks)
		var asking sync.WaitGroup
		for range 5 {
			asking.Go(func() {
				if n, err := s.Get(t.Context()); err != nil || *n != 1 {
					t.Errorf("%v, %v", n, err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := s.Get(ctx); !apierrors.IsTimeout(err) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		asking.Wait()
		if n := door.lists.Load(); n != 1 {
			t.Errorf("listed %d times", n)
		}
		s.Told()
		if _, err := s.Get(t.Context()); err != nil || door.lists.Load() != 2 {
			t.Errorf("told of a change: %v, listed %d times", err, door.lists.Load())
		}
	})
}
