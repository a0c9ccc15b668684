package daemonset

import (
	"sync"
	"time"
)

// Bounds of the time that a node's failed pod is left for before it is deleted, so that a kubelet that refuses it is not
// sent another one at once.
const (
	failedFirst = time.Second
	failedMost  = 15 * time.Minute
)

// backoff remembers how often the pods of which set have failed on which node. A place without failures for twice failedMost is
// forgotten.
type backoff struct {
	mu struct {
		sync.Mutex
		places map[string]failing
		swept  time.Time // when what had expired was last dropped
	}
}

// failing is how long a place waits after its last failure.
type failing struct {
	wait time.Duration
	last time.Time
}

func (f failing) expired(now time.Time) bool { return now.Sub(f.last) > 2*failedMost }

// delay reports for how long a place still waits, after a failure that was noted before; 0 if it does not. What is left of a wait
// is the whole of it, as upstream has it.
func (b *backoff) delay(place string, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, ok := b.mu.places[place]
	if !ok || f.expired(now) || now.Sub(f.last) >= f.wait {
		return 0
	}
	return f.wait - now.Sub(f.last)
}

// failed notes a failure, which makes the wait after the next one longer.
func (b *backoff) failed(place string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.places == nil {
		b.mu.places = map[string]failing{}
	}
	if now.Sub(b.mu.swept) > failedMost {
		b.mu.swept = now
		for k, f := range b.mu.places {
			if f.expired(now) {
				delete(b.mu.places, k)
			}
		}
	}
	f, ok := b.mu.places[place]
	if !ok || f.expired(now) {
		f.wait = failedFirst
	} else {
		f.wait = min(2*f.wait, failedMost)
	}
	f.last = now
	b.mu.places[place] = f
}
