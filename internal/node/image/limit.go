package image

import (
	"context"
	"errors"

	"k8s.io/client-go/util/flowcontrol"
)

// Limits are how many images are pulled at once, and how often. Zero values are no limits.
type Limits struct {
	Parallel int // at once
	QPS      int // in a second, on the average: more than that fail
	Burst    int // at once when there were none for a while
}

// Check refuses what upstream refuses, in its words.
func (l Limits) Check() error {
	switch {
	case l.Burst < 0:
		return errors.New("invalid configuration: registryBurst (--registry-burst) must not be a negative number")
	case l.QPS < 0:
		return errors.New("invalid configuration: registryPullQPS (--registry-qps) must not be a negative number")
	}
	return nil
}

var errTooMany = errors.New("pull QPS exceeded")

// limiter holds pulls to limits. Every goroutine may use it.
type limiter struct {
	rate  flowcontrol.RateLimiter // nil: any rate
	rooms chan struct{}           // nil: any number
}

func newLimiter(l Limits) *limiter {
	out := &limiter{}
	if l.QPS > 0 {
		out.rate = flowcontrol.NewTokenBucketRateLimiter(float32(l.QPS), l.Burst)
	}
	if l.Parallel > 0 {
		out.rooms = make(chan struct{}, l.Parallel)
	}
	return out
}

// allow reports whether another pull may begin now.
func (l *limiter) allow() bool { return l.rate == nil || l.rate.TryAccept() }

// enter waits for room for a pull, and returns what gives it up.
func (l *limiter) enter(ctx context.Context) func() {
	if l.rooms == nil {
		return func() {}
	}
	select {
	case l.rooms <- struct{}{}:
		return func() { <-l.rooms }
	case <-ctx.Done():
		return func() {}
	}
}
