package kubelet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sampan.dev/internal/node/runtime"
)

// How a runtime's health is judged, upstream's numbers (pkg/kubelet/kubelet.go): one that has not said for runtimeWindow that it is
// ready is down, whether it does not answer, answers with errors or hangs. Until then nothing is concluded from a failure.
const (
	runtimeWindow = 30 * time.Second
	lookEvery     = 5 * time.Second // how often it is asked while it does not answer, and how long an answer is waited for
)

var errNetworkUnknown = errors.New("network state unknown")

// health is what is known of the runtime. A question that is not answered goes on beside whatever asked, so that a runtime that
// hangs holds up nobody for longer than lookEvery, and one that is merely slow is still heard.
type health struct {
	mu struct {
		sync.Mutex
		asking   chan struct{}   // closed when the question under way is answered; nil when there is none
		answered bool            // by the last question
		last     *runtime.Status // the last answer, nil before the first
		ready    time.Time       // when the runtime last said that it is ready
		listed   time.Time       // when it last listed its pods
	}
}

func (h *health) list(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.listed = now
}

func (h *health) listed() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.listed
}

// ask puts a question, unless one is under way, and returns what is closed with its end.
func (h *health) ask(wg *sync.WaitGroup, status func() (*runtime.Status, error)) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.asking != nil {
		return h.mu.asking
	}
	done := make(chan struct{})
	h.mu.asking = done
	wg.Go(func() { // ends with the call, which has a bound
		st, err := status()
		h.mu.Lock()
		h.mu.asking, h.mu.answered = nil, err == nil
		if err == nil {
			h.mu.last = st
			if st.Ready {
				h.mu.ready = time.Now()
			}
		}
		h.mu.Unlock()
		close(done)
	})
	return done
}

// status returns the last answer, and whether the last question had one.
func (h *health) status() (st *runtime.Status, answered bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.last, h.mu.answered && h.mu.asking == nil
}

// errors says what is wrong, in upstream's words.
func (h *health) errors(now time.Time) []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []error
	switch {
	case h.mu.ready.IsZero():
		out = append(out, errors.New("container runtime status check may not have completed yet"))
	case now.Sub(h.mu.ready) >= runtimeWindow:
		out = append(out, errors.New("container runtime is down"))
	}
	if ago := now.Sub(h.mu.listed); !h.mu.listed.IsZero() && ago >= relistLimit {
		out = append(out, fmt.Errorf("PLEG is not healthy: pleg was last seen active %v ago; threshold is %v", ago, relistLimit))
	}
	st := h.mu.last
	if st == nil {
		return append(out, errNetworkUnknown)
	}
	if !st.Ready {
		out = append(out, fmt.Errorf("container runtime not ready: RuntimeReady=false reason:%s message:%s", st.Reason, st.Message))
	}
	if text := networkTrouble(st); text != "" {
		out = append(out, errors.New(text))
	}
	return out
}

func networkTrouble(st *runtime.Status) string {
	if st.NetworkReady {
		return ""
	}
	return fmt.Sprintf("container runtime network not ready: NetworkReady=false reason:%s message:%s", st.NetReason, st.NetMessage)
}

// due is how long the next question may wait, at most most: less while there is no answer, and not beyond the moment at which the
// runtime counts as down.
func (h *health) due(now time.Time, most time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.answered && h.mu.asking == nil && h.mu.last.Ready {
		return most
	}
	wait := min(most, lookEvery)
	if left := runtimeWindow - now.Sub(h.mu.ready); left > 0 {
		wait = min(wait, left)
	}
	return wait
}

// lookRuntime asks the runtime for its state and returns it, nil when it does not answer.
func (k *Kubelet) lookRuntime(ctx context.Context) *runtime.Status {
	done := k.health.ask(&k.wg, func() (*runtime.Status, error) { return k.rt.Status(ctx) })
	t := time.NewTimer(lookEvery)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-ctx.Done():
	}
	st, answered := k.health.status()
	if !answered {
		return nil
	}
	for _, h := range st.Handlers {
		if h.Name == "" && h.Features != nil {
			k.rro.Store(h.Features.RecursiveReadOnlyMounts != nil && *h.Features.RecursiveReadOnlyMounts)
		}
	}
	was, now := k.netReady.Load().(string), networkTrouble(st)
	k.netReady.Store(now)
	if was != "" && now == "" {
		k.wakeAll()
	}
	return st
}
