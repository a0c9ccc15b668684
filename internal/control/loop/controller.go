package loop

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/client/record"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/errors"
)

// Runner is a controller, or anything that runs beside one.
type Runner interface {
	// Run works until ctx ends, and returns when all its goroutines have ended.
	Run(ctx context.Context) error
}

// Env is what a controller is made with.
type Env struct {
	Name      string           // upstream's name: "replicaset-controller"
	Door      client.Interface // acts as the controller's own service account
	Informers *cache.Set       // shared by all controllers; objects are frozen
	Events    *record.Recorder // component: Name
	Log       *slog.Logger     // carries component
}

// Controller runs Reconcile for the keys of a queue.
type Controller struct {
	Name    string
	Workers int    // keys that are worked on at a time; 0 means 1
	Queue   *Queue // may be shared with handlers before Run
	Log     *slog.Logger

	// Elastic has a goroutine for each key that is worked on, and one that waits, instead of Workers of them. It is for
	// controllers whose Reconcile waits for others much longer than it works, so that many Workers are wanted and few are busy.
	Elastic bool

	// Synced are waited for before the first key is taken: the informers that Reconcile reads.
	Synced []<-chan struct{}

	// Rest lets a key rest after a look for this many times as long as the look took, but no longer than restMost, so that a
	// key whose every look costs much (a service of ten thousand pods, while they change) takes a bounded part of a core
	// and writes once for many changes. What is announced meanwhile is looked at afterwards.
	Rest int

	// Ledger, when set, keeps a key waiting until the informers show all that Reconcile wrote for it.
	Ledger *Ledger

	// Reconcile brings the world of key nearer to what it should be. It is not called twice at once for a key. An error
	// makes it come again after a backoff, requeue > 0 after that time.
	Reconcile func(ctx context.Context, key string) (requeue time.Duration, err error)

	last atomic.Pointer[failure] // the last look that failed; nil if none did
}

const restMost = 250 * time.Millisecond

// staleRetry bounds how long a key sleeps that waits for its own writes to show, should the event that ends the wait not
// concern it (the object was deleted by another hand before the view saw it).
const staleRetry = time.Second

// Run works until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	defer c.Queue.ShutDown()
	for _, synced := range c.Synced {
		select {
		case <-synced:
		case <-ctx.Done():
			return nil
		}
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	if c.Elastic {
		c.workEach(ctx, &workers)
		return nil
	}
	for range max(1, c.Workers) {
		workers.Go(func() { c.work(ctx) })
	}
	return nil
}

func (c *Controller) work(ctx context.Context) {
	for {
		key, ok := c.Queue.Get(ctx)
		if !ok {
			return
		}
		c.look(ctx, key)
	}
}

// workEach starts a goroutine for each key that is due, no more than Workers at a time.
func (c *Controller) workEach(ctx context.Context, workers *sync.WaitGroup) {
	free := make(chan struct{}, max(1, c.Workers))
	for {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return
		}
		key, ok := c.Queue.Get(ctx)
		if !ok {
			return
		}
		workers.Go(func() {
			c.look(ctx, key)
			<-free
		})
	}
}

// look works on a key that was taken and gives it back.
func (c *Controller) look(ctx context.Context, key string) {
	began := time.Now()
	c.step(ctx, key)
	if rest := min(time.Duration(c.Rest)*time.Since(began), restMost); rest > 0 {
		time.AfterFunc(rest, func() { c.Queue.Done(key) })
	} else {
		c.Queue.Done(key)
	}
}

func (c *Controller) step(ctx context.Context, key string) {
	if c.Ledger != nil && !c.Ledger.Settled(key) {
		c.Queue.AddAfter(key, staleRetry)
		return
	}
	requeue, err := c.guarded(ctx, key)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		n := c.Queue.Retry(key)
		c.last.Store(&failure{key, err, time.Now()})
		c.Log.Log(ctx, level(err, n), "reconcile failed", "key", key, "failures", n, "err", err)
	default:
		c.Queue.Forget(key)
		if requeue > 0 {
			c.Queue.AddAfter(key, requeue)
		}
	}
}

// guarded calls Reconcile and makes an error of a panic: an object that trips it comes again and again, with all the others as
// well as ever, instead of ending the process each time that it starts.
func (c *Controller) guarded(ctx context.Context, key string) (requeue time.Duration, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
			c.Log.Error("reconcile panicked", "key", key, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	return c.Reconcile(ctx, key)
}

// Pending is an error that others are about to make good: what was asked for is under way. It is retried as any other, and
// becomes worth a warning after patience attempts, which take some seconds.
type Pending struct{ Err error }

// Error implements error.
func (p Pending) Error() string { return p.Err.Error() }

// Unwrap implements what package errors asks for.
func (p Pending) Unwrap() error { return p.Err }

const patience = 10

// level is how loudly to speak of the nth failure in a row.
func level(err error, n int) slog.Level {
	if errors.IsConflict(err) || n == 1 && errors.IsNotFound(err) {
		return slog.LevelDebug // the view was old; the next look is better
	}
	if _, ok := err.(Pending); ok && n < patience {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// Key names an object in a queue: "namespace/name", or "name" for cluster-scoped kinds.
func Key(obj api.Object) string { return KeyOf(obj.GetNamespace(), obj.GetName()) }

// KeyOf is Key from its parts.
func KeyOf(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// SplitKey takes a key apart. It panics on a key that Key cannot have made.
func SplitKey(key string) (namespace, name string) {
	parts := strings.Split(key, "/")
	switch len(parts) {
	case 1:
		return "", parts[0]
	case 2:
		return parts[0], parts[1]
	}
	panic(fmt.Sprintf("loop: not a key: %q", key))
}

// Enqueue is the handler of most controllers for the kind they reconcile: every change makes the object's key due.
func Enqueue[T api.Object](q *Queue) cache.Handler[T] {
	return cache.Handler[T]{
		Add:    func(obj T) { q.Add(Key(obj)) },
		Update: func(_, obj T) { q.Add(Key(obj)) },
		Delete: func(obj T) { q.Add(Key(obj)) },
	}
}

// Jitter returns d lengthened by a random part of it, at most factor*d, so that what started together does not stay so.
func Jitter(d time.Duration, factor float64) time.Duration {
	return d + time.Duration(rand.Float64()*factor*float64(d))
}

// All runs several runners as one.
type All []Runner

// Run runs them until ctx ends or one fails, which ends the others. It returns that failure.
func (a All) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range a {
		group.Go(func() error { return r.Run(ctx) })
	}
	return group.Wait()
}

// Measured is a Runner with metrics of its own beside those of its queues.
type Measured struct {
	Runner
	prometheus.Collector
}

// controllers are those that a runner is made of.
func controllers(r Runner) (out []*Controller) {
	switch r := r.(type) {
	case All:
		for _, one := range r {
			out = append(out, controllers(one)...)
		}
	case Then:
		return controllers(r.Runner)
	case Measured:
		return controllers(r.Runner)
	case *Controller:
		return []*Controller{r}
	}
	return out
}

// Then runs First, and the Runner when that has ended without an error.
type Then struct {
	First func(ctx context.Context) error
	Runner
}

// Run implements Runner.
func (t Then) Run(ctx context.Context) error {
	if err := t.First(ctx); err != nil {
		return err
	}
	return t.Runner.Run(ctx)
}

// Func is a Runner made of a function.
type Func func(ctx context.Context) error

// Run calls f.
func (f Func) Run(ctx context.Context) error { return f(ctx) }
