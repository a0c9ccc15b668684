package kubelet

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/shutdown"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// shutsDown is a logind that begins a shutdown when a test says so.
type shutsDown struct {
	events chan bool
	goes   chan time.Time // when the machine went on
}

func (*shutsDown) Delay() (time.Duration, error)     { return time.Hour, nil }
func (*shutsDown) Allow(time.Duration) error         { return nil }
func (s *shutsDown) Inhibit() (io.Closer, error)     { return s.lock(), nil }
func (s *shutsDown) Shutdowns() (<-chan bool, error) { return s.events, nil }
func (*shutsDown) Close() error                      { return nil }
func (s *shutsDown) lock() io.Closer                 { return &waits{goes: s.goes} }

type waits struct{ goes chan time.Time }

func (w *waits) Close() error {
	select {
	case w.goes <- time.Now():
	default:
	}
	return nil
}

// Before the machine shuts down the node ends its pods, critical ones last, says of each why it failed, and takes no others.
func TestVirtualShutdown(t *testing.T) {
	bus := &shutsDown{}
	change := func(c *Config) {
		bus.events, bus.goes = make(chan bool), make(chan time.Time, 1)
		c.Shutdown = shutdown.Settings{Whole: 30 * time.Second, Critical: 10 * time.Second}
		c.Logind = func() (shutdown.Bus, error) { return bus, nil }
	}
	inVirtualTimeWith(t, change, func(v *virtual) {
		t := v.T // the bubble's
		v.rt.SetBehave(func(_ types.UID, container string, _ int) runtime.Behavior { return runtime.Behavior{Stubborn: true} })
		for name, class := range map[string]string{"ordinary": "", "critical": "system-node-critical"} {
			p := podtest.Parse(t, strings.Fields("Always main:a"))
			p.Name, p.Spec.PriorityClassName, p.Spec.TerminationGracePeriodSeconds = name, class, new(int64(60))
			v.create(p)
		}
		time.Sleep(5 * time.Second)
		begin := time.Now()
		bus.events <- true
		time.Sleep(19 * time.Second)
		if p := v.get("critical"); p.Status.Phase != corev1.PodRunning {
			t.Errorf("the critical pod is %s while others end", p.Status.Phase)
		}
		late := podtest.Parse(t, strings.Fields("Always main:a"))
		late.Name = "late"
		v.create(late)
		time.Sleep(time.Minute)
		synctest.Wait()
		if after := (<-bus.goes).Sub(begin).Round(time.Second); after < 28*time.Second || after > 30*time.Second {
			t.Errorf("the machine went on after %v", after)
		}
		for _, name := range []string{"ordinary", "critical"} {
			p := v.get(name)
			c := pods.FindCondition(p.Status.Conditions, corev1.DisruptionTarget)
			if p.Status.Phase != corev1.PodFailed || p.Status.Reason != "Terminated" || p.Status.Message != "Pod was terminated in response to imminent node shutdown." ||
				c == nil || c.Reason != "TerminationByKubelet" {
				t.Errorf("%s: %s %s %q, %+v", name, p.Status.Phase, p.Status.Reason, p.Status.Message, c)
			}
		}
		if p := v.get("late"); p.Status.Reason != "NodeShutdown" || p.Status.Message != "Pod was rejected: Pod was rejected as the node is shutting down." {
			t.Errorf("late: %s %q", p.Status.Reason, p.Status.Message)
		}
		node, _ := v.k.node.InHub()
		ready := node.Status.Conditions[slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })]
		if ready.Status != corev1.ConditionFalse || ready.Message != "node is shutting down" {
			t.Errorf("the node is %s: %s", ready.Status, ready.Message)
		}
	})
}
