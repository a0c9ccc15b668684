package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/node/runtime"

	"k8s.io/apimachinery/pkg/types"
)

// How a runtime's health is judged, upstream's numbers (pkg/kubelet/kubelet.go): one that has not said for Window that it is
// ready is down, whether it does not answer, answers with errors or hangs. Until then nothing is concluded from a failure.
const (
	Window    = 30 * time.Second
	LookEvery = 5 * time.Second // how often it is asked while it does not answer, and how long an answer is waited for
)

var errNetworkUnknown = errors.New("network state unknown")

// Runtime is what is known of the container runtime. Every goroutine may ask; a question that the runtime has not answered goes
// on beside whoever put it, so that a runtime that hangs holds up nobody for longer than LookEvery, and one that is merely slow
// is still heard.
//
// Invariant: one question is under way at most (mu.asking), and answers are taken in the order of the questions.
type Runtime struct {
	rt   runtime.Interface
	back func() // called when the pod network is ready again
	wg   sync.WaitGroup

	name    atomic.Value // string: "containerd"
	network atomic.Value // string: what is wrong with the pod network, "" when pods may be started on it
	rro     atomic.Bool

	listing map[types.UID]string // the pods of the last listing, by what they looked like; Relist's own

	mu struct {
		sync.Mutex
		asking   chan struct{}   // closed when the question under way is answered; nil when there is none
		answered bool            // by the last question
		last     *runtime.Status // the last answer, nil before the first
		ready    time.Time       // when the runtime last said that it is ready
		listed   time.Time       // when it last listed its pods
	}
}

// New begins without knowledge of the runtime. networkBack is called whenever the pod network is ready again after it was not.
func New(rt runtime.Interface, networkBack func()) *Runtime {
	h := &Runtime{rt: rt, back: networkBack}
	h.name.Store("containerd")
	h.network.Store("")
	return h
}

// Await returns when the runtime has answered for the first time, or with the error of ctx.
func (h *Runtime) Await(ctx context.Context, log *slog.Logger) error {
	for delay := 20 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		v, err := h.rt.Version(ctx)
		if err == nil {
			h.name.Store(v.Name)
			h.Look(ctx)
			return nil
		}
		if delay > 500*time.Millisecond {
			log.Warn("container runtime does not answer", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(delay):
		}
	}
}

// Wait returns when no question is under way.
func (h *Runtime) Wait() { h.wg.Wait() }

// Name is how the runtime calls itself: the scheme of container IDs.
func (h *Runtime) Name() string { return h.name.Load().(string) }

// NetworkTrouble says what is wrong with the pod network; "" when pods may be started on it.
func (h *Runtime) NetworkTrouble() string { return h.network.Load().(string) }

// RecursiveReadOnly reports whether the runtime can mount a tree of mounts read-only.
func (h *Runtime) RecursiveReadOnly() bool { return h.rro.Load() }

// UserNamespaces reports whether the runtime's handler of that name ("": its own choice) can give pods users of their own. A runtime
// that does not tell of its handlers cannot.
func (h *Runtime) UserNamespaces(handler string) (bool, error) {
	st, _ := h.Status()
	if st == nil || len(st.Handlers) == 0 {
		return false, nil
	}
	for _, r := range st.Handlers {
		if r.Name == handler {
			return r.Features != nil && r.Features.UserNamespaces != nil && *r.Features.UserNamespaces, nil
		}
	}
	return false, fmt.Errorf("the handler %q is not known", handler)
}

// Look asks the runtime for its state and returns it, nil when it does not answer.
func (h *Runtime) Look(ctx context.Context) *runtime.Status {
	done := h.ask(func() (*runtime.Status, error) { return h.rt.Status(ctx) })
	t := time.NewTimer(LookEvery)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-ctx.Done():
	}
	st, answered := h.Status()
	if !answered {
		return nil
	}
	for _, handler := range st.Handlers {
		if handler.Name == "" && handler.Features != nil {
			h.rro.Store(handler.Features.RecursiveReadOnlyMounts != nil && *handler.Features.RecursiveReadOnlyMounts)
		}
	}
	was, now := h.NetworkTrouble(), networkTrouble(st)
	h.network.Store(now)
	if was != "" && now == "" {
		h.back()
	}
	return st
}

// ask puts a question, unless one is under way, and returns what is closed with its end.
func (h *Runtime) ask(status func() (*runtime.Status, error)) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.asking != nil {
		return h.mu.asking
	}
	done := make(chan struct{})
	h.mu.asking = done
	h.wg.Go(func() { // ends with the call, which has a bound
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

func (h *Runtime) list(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.listed = now
}

func (h *Runtime) listed() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.listed
}

// Status returns the last answer (nil before the first), and whether the last question had one.
func (h *Runtime) Status() (st *runtime.Status, answered bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.last, h.mu.answered && h.mu.asking == nil
}

// Errors says what keeps the node from being ready at now, in upstream's words (pkg/kubelet/runtime.go).
func (h *Runtime) Errors(now time.Time) []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []error
	switch {
	case h.mu.ready.IsZero():
		out = append(out, errors.New("container runtime status check may not have completed yet"))
	case now.Sub(h.mu.ready) >= Window:
		out = append(out, errors.New("container runtime is down"))
	}
	if ago := now.Sub(h.mu.listed); !h.mu.listed.IsZero() && ago >= RelistLimit {
		out = append(out, fmt.Errorf("PLEG is not healthy: pleg was last seen active %v ago; threshold is %v", ago, RelistLimit))
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

// Due is how long the next question may wait, at most most: less while there is no answer, and not beyond the moment at which the
// runtime counts as down.
func (h *Runtime) Due(now time.Time, most time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.answered && h.mu.asking == nil && h.mu.last.Ready {
		return most
	}
	wait := min(most, LookEvery)
	if left := Window - now.Sub(h.mu.ready); left > 0 {
		wait = min(wait, left)
	}
	return wait
}
