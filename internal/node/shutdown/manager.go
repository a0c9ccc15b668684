package shutdown

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"sampan.dev/internal/node/checkpoint"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// What pods and the node are told.
const (
	Reason      = "Terminated"
	Message     = "Pod was terminated in response to imminent node shutdown."
	NotAdmitted = "NodeShutdown"
	NotNow      = "Pod was rejected as the node is shutting down."

	event = "NodeShutdown"
)

var errShuttingDown = errors.New("node is shutting down")

// How often is looked for what has no event, and how long a broken connection to the bus rests.
const (
	lookEvery = 100 * time.Millisecond
	rest      = time.Second
)

// Bus is logind, over a connection to the system's bus.
type Bus interface {
	// Delay is how long logind lets others delay a shutdown at most.
	Delay() (time.Duration, error)
	// Allow has logind wait that long, by a drop-in for its configuration, which is read a moment later.
	Allow(d time.Duration) error
	// Inhibit delays shutdowns until the lock is closed.
	Inhibit() (io.Closer, error)
	// Shutdowns tells of each shutdown that begins (true) or is called off; the channel is closed with the connection.
	Shutdowns() (<-chan bool, error)
	Close() error
}

// Config is what the manager needs.
type Config struct {
	Periods []Period            // sorted, as Settings.Periods returns them
	Connect func() (Bus, error) // Logind, but for tests
	Active  func() []*corev1.Pod
	End     func(uid types.UID, grace int64) // ends a pod with Reason and Message; it does not wait
	Gone    func(uid types.UID) bool         // nothing of the pod runs, and its volumes are unmounted
	Changed func()                           // the node's condition is another
	Tell    func(reason, message string)     // an event of the node
	Dir     string                           // where the times of the last shutdown are noted; "": nowhere
	Log     *slog.Logger
}

// Manager ends pods when the machine shuts down. Every goroutine may ask Error; Run is its only goroutine beside those of the bus.
type Manager struct {
	cfg  Config
	down atomic.Bool
}

// New makes a manager that does nothing until Run.
func New(cfg Config) *Manager { return &Manager{cfg: cfg} }

// Error is what keeps the node from being ready: that it shuts down, or nil.
func (m *Manager) Error() error {
	if m != nil && m.down.Load() {
		return errShuttingDown
	}
	return nil
}

// Run waits for shutdowns until ctx ends. It ends at once where there is no logind to tell of any.
func (m *Manager) Run(ctx context.Context) {
	bus, lock, events, err := m.watch(ctx)
	if err != nil {
		m.cfg.Log.Warn("pods will not be ended before the machine shuts down", "error", err)
		return
	}
	for {
		m.follow(ctx, bus, lock, events)
		bus.Close()
		for bus = nil; bus == nil; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(rest):
			}
			if bus, lock, events, err = m.watch(ctx); err != nil {
				m.cfg.Log.Debug("logind not watched", "error", err)
				bus = nil
			}
		}
	}
}

// watch connects to logind, makes it wait as long as the periods take, and takes the lock. The connection is the caller's to close.
func (m *Manager) watch(ctx context.Context) (Bus, io.Closer, <-chan bool, error) {
	bus, err := m.cfg.Connect()
	if err != nil {
		return nil, nil, nil, err
	}
	lock, events, err := m.hold(ctx, bus)
	if err != nil {
		bus.Close()
		return nil, nil, nil, err
	}
	return bus, lock, events, nil
}

func (m *Manager) hold(ctx context.Context, bus Bus) (io.Closer, <-chan bool, error) {
	if err := m.allow(ctx, bus); err != nil {
		return nil, nil, err
	}
	lock, err := bus.Inhibit()
	if err != nil {
		return nil, nil, err
	}
	events, err := bus.Shutdowns()
	if err != nil {
		lock.Close()
		return nil, nil, fmt.Errorf("failed to monitor shutdown: %w", err)
	}
	return lock, events, nil
}

// allow has logind wait for as long as the periods take, unless it does.
func (m *Manager) allow(ctx context.Context, bus Bus) error {
	want := total(m.cfg.Periods)
	have, err := bus.Delay()
	if err != nil || have >= want {
		return err
	}
	if err := bus.Allow(want); err != nil {
		return fmt.Errorf("unable to override inhibit delay by shutdown manager: %w", err)
	}
	wait := 100 * time.Millisecond
	for range 5 {
		if have, err = bus.Delay(); err != nil || have >= want {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait *= 2
	}
	return fmt.Errorf("node shutdown manager was timed out after 5 attempts waiting for logind InhibitDelayMaxSec to update to %v (ShutdownGracePeriod), current value is %v", want, have)
}

// follow acts on what logind tells until the connection ends.
func (m *Manager) follow(ctx context.Context, bus Bus, lock io.Closer, events <-chan bool) {
	defer func() { lock.Close() }()
	for {
		select {
		case <-ctx.Done():
			return
		case begins, ok := <-events:
			if !ok {
				return
			}
			m.down.Store(begins)
			m.cfg.Changed()
			if begins {
				m.cfg.Tell(event, "Shutdown manager detected shutdown event")
				m.shutDown(ctx)
				lock.Close() // the machine goes on
				continue
			}
			m.cfg.Tell(event, "Shutdown manager detected shutdown cancellation")
			if next, err := bus.Inhibit(); err != nil {
				m.cfg.Log.Warn("the next shutdown will not wait for pods", "error", err)
			} else {
				lock.Close()
				lock = next
			}
		}
	}
}

// times are those of a shutdown, as upstream's kubelet notes them.
type times struct {
	StartTime, EndTime time.Time
}

// shutDown ends the pods, group after group. A group that has none takes no time.
func (m *Manager) shutDown(ctx context.Context) {
	t := times{StartTime: time.Now()}
	m.note(t)
	all := groups(m.cfg.Periods, m.cfg.Active())
	for i, period := range m.cfg.Periods {
		if len(all[i]) > 0 && ctx.Err() == nil {
			m.end(ctx, period, all[i])
		}
	}
	t.EndTime = time.Now()
	m.note(t)
}

// end ends the pods of one period and waits for them, no longer than that.
func (m *Manager) end(ctx context.Context, period Period, pods []*corev1.Pod) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(period.Seconds)*time.Second)
	defer cancel()
	for _, pod := range pods {
		m.cfg.End(pod.UID, grace(period, pod))
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for _, pod := range pods {
		for !m.cfg.Gone(pod.UID) {
			select {
			case <-ctx.Done():
				m.cfg.Log.Warn("pods of a group have not ended in time", "priority", period.Priority, "seconds", period.Seconds)
				return
			case <-tick.C:
			}
		}
	}
}

// stateFile has upstream's name.
const stateFile = "graceful_node_shutdown_state"

func (m *Manager) note(t times) {
	if m.cfg.Dir == "" {
		return
	}
	data, err := json.Marshal(map[string]time.Time{"startTime": t.StartTime, "endTime": t.EndTime})
	if err == nil {
		err = checkpoint.Write(filepath.Join(m.cfg.Dir, stateFile), data)
	}
	if err != nil {
		m.cfg.Log.Warn("the time of the shutdown is not noted", "error", err)
	}
}
