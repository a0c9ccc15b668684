package shutdown

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestPeriods(t *testing.T) {
	for _, c := range []struct {
		in   Settings
		want string
	}{
		{Settings{}, "[]"},
		{Settings{Whole: 30 * time.Second, Critical: 10 * time.Second}, "[{0 20} {2000000000 10}]"},
		{Settings{Whole: 30 * time.Second}, "[{0 30} {2000000000 0}]"},
		{Settings{ByPriority: []Period{{100, 5}, {0, 10}}}, "[{0 10} {100 5}]"},
	} {
		if got := fmt.Sprint(c.in.Periods()); got != c.want || c.in.Check() != nil {
			t.Errorf("%+v: %s, want %s (%v)", c.in, got, c.want, c.in.Check())
		}
	}
	for want, bad := range map[string]Settings{
		"must be <=": {Whole: time.Second, Critical: 2 * time.Second},
		"shutdownGracePeriod {100ms} must be either zero or otherwise >= 1 sec": {Whole: 100 * time.Millisecond},
		"Cannot specify both": {Whole: time.Minute, ByPriority: []Period{{0, 1}}},
	} {
		if err := bad.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", bad, err, want)
		}
	}
}

func pod(uid string, priority int32, grace int64) *corev1.Pod {
	p := &corev1.Pod{}
	p.UID, p.Spec.Priority, p.Spec.TerminationGracePeriodSeconds = types.UID(uid), &priority, &grace
	return p
}

func TestGroups(t *testing.T) {
	periods := []Period{{0, 10}, {100, 20}, {2000000000, 5}}
	pods := []*corev1.Pod{pod("lowest", -5, 30), pod("none", 0, 30), pod("between", 99, 3), pod("at", 100, 30), pod("critical", 2000001000, 30)}
	var got []string
	for i, g := range groups(periods, pods) {
		for _, p := range g {
			got = append(got, fmt.Sprintf("%s:%d:%d", p.UID, periods[i].Priority, grace(periods[i], p)))
		}
	}
	if want := "[lowest:0:10 none:0:10 between:0:3 at:100:20 critical:2000000000:5]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// fake is a logind whose shutdowns a test begins.
type fake struct {
	delay  time.Duration
	fixed  bool // it does not wait longer
	events chan bool

	mu    sync.Mutex
	locks int // that are held
}

func (f *fake) held() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.locks
}

type lock struct {
	f      *fake
	closed bool
}

func (l *lock) Close() error {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	if !l.closed {
		l.closed = true
		l.f.locks--
	}
	return nil
}

func (f *fake) Delay() (time.Duration, error) { return f.delay, nil }
func (f *fake) Allow(d time.Duration) error {
	if !f.fixed {
		f.delay = d
	}
	return nil
}
func (f *fake) Inhibit() (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.locks++
	return &lock{f: f}, nil
}
func (f *fake) Shutdowns() (<-chan bool, error) { return f.events, nil }
func (f *fake) Close() error                    { return nil }

// world is a node with pods that end when they like to.
type world struct {
	*testing.T
	fake  *fake
	m     *Manager
	begin time.Time
	mu    sync.Mutex
	said  []string
	ends  map[types.UID]time.Duration // when it is gone after it was told to end; absent: never
	gone  map[types.UID]time.Time
	pods  []*corev1.Pod
}

func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, fmt.Sprintf("%v ", time.Since(w.begin).Round(time.Second))+fmt.Sprintf(format, args...))
}

func inAWorld(t *testing.T, f *fake, fn func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		f.events = make(chan bool)
		w := &world{T: t, fake: f, ends: map[types.UID]time.Duration{}, gone: map[types.UID]time.Time{}, begin: time.Now()}
		w.m = New(Config{Periods: []Period{{0, 10}, {100, 20}, {2000000000, 5}}, Connect: func() (Bus, error) { return f, nil },
			Active: func() []*corev1.Pod { return w.pods },
			End: func(uid types.UID, grace int64) {
				w.say("end %s %d", uid, grace)
				if after, ok := w.ends[uid]; ok {
					w.gone[uid] = time.Now().Add(after)
				}
			},
			Gone:    func(uid types.UID) bool { at, ok := w.gone[uid]; return ok && !time.Now().Before(at) },
			Changed: func() { w.say("%v", w.m.Error()) },
			Tell:    func(reason, message string) { w.say("%s: %s", reason, message) },
			Log:     slog.New(slog.NewTextHandler(t.Output(), nil))})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.m.Run(ctx); close(done) }()
		synctest.Wait()
		fn(w)
		cancel()
		<-done
		if f.held() != 0 {
			t.Errorf("%d locks are left", f.held())
		}
	})
}

func (w *world) want(want ...string) {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.said, want) {
		w.Errorf("\n%s\nwant\n%s", strings.Join(w.said, "\n"), strings.Join(want, "\n"))
	}
}

// Groups end one after the other, none takes longer than it has, and one without pods takes no time; then the machine goes on.
func TestShutdown(t *testing.T) {
	inAWorld(t, &fake{delay: 5 * time.Second}, func(w *world) {
		if w.fake.delay != 35*time.Second || w.fake.held() != 1 || w.m.Error() != nil {
			t.Errorf("logind waits for %v, %d locks", w.fake.delay, w.fake.held())
		}
		w.pods = []*corev1.Pod{pod("quick", 0, 30), pod("stuck", 0, 30), pod("system", 2000000000, 2)}
		w.ends = map[types.UID]time.Duration{"quick": time.Second, "system": time.Second}
		w.begin = time.Now()
		w.fake.events <- true
		synctest.Wait()
		if w.fake.held() != 1 {
			t.Error("the machine does not wait")
		}
		time.Sleep(time.Minute)
		w.want("0s node is shutting down", "0s NodeShutdown: Shutdown manager detected shutdown event", "0s end quick 10", "0s end stuck 10", "10s end system 2")
		if w.fake.held() != 0 {
			t.Error("the machine still waits")
		}
	})
}

// A shutdown that is called off leaves a node that is ready and waits for the next.
func TestShutdownCalledOff(t *testing.T) {
	inAWorld(t, &fake{delay: time.Hour}, func(w *world) {
		w.fake.events <- true
		synctest.Wait()
		w.fake.events <- false
		synctest.Wait()
		w.want("0s node is shutting down", "0s NodeShutdown: Shutdown manager detected shutdown event", "0s <nil>", "0s NodeShutdown: Shutdown manager detected shutdown cancellation")
		if w.fake.held() != 1 || w.fake.delay != time.Hour {
			t.Errorf("%d locks, %v", w.fake.held(), w.fake.delay)
		}
	})
}

// Without logind, or with one that does not wait, nothing runs.
func TestNoLogind(t *testing.T) {
	for want, f := range map[string]*fake{"": nil, "timed out after 5 attempts": {delay: time.Second, fixed: true}} {
		synctest.Test(t, func(t *testing.T) {
			var said strings.Builder
			m := New(Config{Periods: []Period{{0, 10}}, Connect: func() (Bus, error) {
				if f == nil {
					return nil, errors.New("no bus")
				}
				return f, nil
			}, Log: slog.New(slog.NewTextHandler(&said, nil))})
			m.Run(t.Context()) // ends
			if !strings.Contains(said.String(), want) || !strings.Contains(said.String(), "pods will not be ended") {
				t.Error(said.String())
			}
		})
	}
	var none *Manager
	if none.Error() != nil {
		t.Error("a node that does not end pods shuts down")
	}
}
