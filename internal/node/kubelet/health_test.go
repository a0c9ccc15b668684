package kubelet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/client"
	"sampan.dev/internal/node/health"
	"sampan.dev/internal/node/register"
	"sampan.dev/internal/node/runtime"

	coordv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// readyCondition is the node's Ready condition as the hub has it.
func (v *virtual) readyCondition() corev1.NodeCondition {
	v.Helper()
	n, err := client.Get[*corev1.Node](v.Context(), v.hub.Own(), client.Nodes, "", "n1")
	if err != nil {
		v.Fatal(err)
	}
	i := slices.IndexFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })
	if i < 0 {
		return corev1.NodeCondition{}
	}
	return n.Status.Conditions[i]
}

// untilReady returns how long after now the node's Ready condition has the status, an hour at most.
func (v *virtual) untilReady(status corev1.ConditionStatus) (time.Duration, corev1.NodeCondition) {
	v.Helper()
	for begun := time.Now(); time.Since(begun) < time.Hour; time.Sleep(100 * time.Millisecond) {
		if c := v.readyCondition(); c.Status == status {
			return time.Since(begun), c
		}
	}
	v.Fatalf("Ready never was %s", status)
	return 0, corev1.NodeCondition{}
}

// A node is NotReady when its runtime has not said for half a minute that it is ready, however that shows: not sooner, and not
// when a call's own bound is over.
func TestVirtualRuntimeWindow(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault func(v *virtual) (mend func())
		text  string
	}{
		{"hangs", func(v *virtual) func() { return v.rt.Freeze() }, "container runtime is down"},
		{"fails", func(v *virtual) func() {
			var mended atomic.Bool
			v.rt.SetFail(func(call, _ string) error {
				if call == "Status" && !mended.Load() {
					return errors.New("no")
				}
				return nil
			})
			return func() { mended.Store(true) }
		}, "container runtime is down"},
	} {
		t.Run(row.name, func(t *testing.T) {
			inVirtualTime(t, func(v *virtual) {
				time.Sleep(15 * time.Minute)
				if c := v.readyCondition(); c.Status != corev1.ConditionTrue {
					v.Fatalf("%+v", c)
				}
				mend := row.fault(v)
				took, c := v.untilReady(corev1.ConditionFalse)
				if took < health.Window-v.k.cfg.StatusEvery || took > health.Window+health.LookEvery+time.Second {
					v.Errorf("NotReady after %v", took)
				}
				if c.Reason != "KubeletNotReady" || c.Message != row.text {
					v.Errorf("%s: %s", c.Reason, c.Message)
				}
				time.Sleep(10 * time.Minute)
				mend()
				if took, _ := v.untilReady(corev1.ConditionTrue); took > health.LookEvery+time.Second {
					v.Errorf("Ready %v after it was mended", took)
				}
			})
		})
	}
}

// What passes within half a minute is not even seen: calls that fail, hang or come late.
func TestVirtualRuntimeFalters(t *testing.T) {
	for _, row := range []struct {
		name    string
		falters time.Duration
	}{{"a moment", 100 * time.Millisecond}, {"a call", 11 * time.Second}, {"nearly the window", 19 * time.Second}} {
		t.Run(row.name, func(t *testing.T) {
			inVirtualTime(t, func(v *virtual) {
				before := v.readyCondition()
				for range 20 {
					thaw := v.rt.Freeze()
					time.Sleep(row.falters)
					thaw()
					time.Sleep(11 * time.Second)
					if c := v.readyCondition(); c.Status != corev1.ConditionTrue || !c.LastTransitionTime.Equal(&before.LastTransitionTime) {
						v.Fatalf("%+v", c)
					}
				}
			})
		})
	}
	t.Run("every other call", func(t *testing.T) {
		inVirtualTime(t, func(v *virtual) {
			before := v.readyCondition()
			var n atomic.Int32
			v.rt.SetFail(func(call, _ string) error {
				if call == "Status" && n.Add(1)%2 == 0 {
					return errors.New("no")
				}
				return nil
			})
			time.Sleep(30 * time.Minute)
			if c := v.readyCondition(); c.Status != corev1.ConditionTrue || !c.LastTransitionTime.Equal(&before.LastTransitionTime) || n.Load() < 100 {
				v.Errorf("%d calls: %+v", n.Load(), c)
			}
		})
	})
}

// What the runtime says itself is told at once, in upstream's words.
func TestVirtualRuntimeSays(t *testing.T) {
	for _, row := range []struct {
		name, text, later string
		says              runtime.Status
	}{
		{"network", "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:no CNI", "",
			runtime.Status{Ready: true, NetReason: "NetworkPluginNotReady", NetMessage: "no CNI"}},
		{"runtime", "container runtime not ready: RuntimeReady=false reason:Shy message:not now",
			"[container runtime is down, container runtime not ready: RuntimeReady=false reason:Shy message:not now]",
			runtime.Status{NetworkReady: true, Reason: "Shy", Message: "not now"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			inVirtualTime(t, func(v *virtual) {
				time.Sleep(time.Minute)
				v.rt.SetSays(func() *runtime.Status { st := row.says; return &st })
				took, c := v.untilReady(corev1.ConditionFalse)
				if took > v.k.cfg.StatusEvery+time.Second || c.Message != row.text {
					v.Errorf("after %v: %s", took, c.Message)
				}
				if row.later != "" {
					time.Sleep(time.Minute)
					if c := v.readyCondition(); c.Message != row.later {
						v.Errorf("later: %s", c.Message)
					}
				}
				v.rt.SetSays(nil)
				if took, _ := v.untilReady(corev1.ConditionTrue); took > health.LookEvery+time.Second {
					v.Errorf("Ready %v after it was", took)
				}
			})
		})
	}
}

// A node's status is written while its runtime hangs, with what the runtime said before.
func TestVirtualStatusWhileTheRuntimeHangs(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		defer v.rt.Freeze()()
		for range 3 {
			time.Sleep(v.k.cfg.ReportEvery + v.k.cfg.StatusEvery + 2*health.LookEvery)
			n, err := client.Get[*corev1.Node](v.Context(), v.hub.Own(), client.Nodes, "", "n1")
			if err != nil {
				v.Fatal(err)
			}
			if c := v.readyCondition(); time.Since(c.LastHeartbeatTime.Time) > v.k.cfg.ReportEvery+v.k.cfg.StatusEvery+2*health.LookEvery {
				v.Errorf("%v: %+v", time.Now(), c)
			}
			if got := n.Status.NodeInfo.ContainerRuntimeVersion; got != "fake://1.0" {
				v.Errorf("runtime %q", got)
			}
		}
	})
}

// What events did not tell is found by listing, and a runtime that cannot be listed is not healthy.
func TestVirtualLostEvents(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		uid := v.create(podtest.Parse(v.T, strings.Fields("Never main:a")))
		time.Sleep(7 * time.Minute)
		if p := v.get("p"); p.Status.Phase != corev1.PodRunning {
			v.Fatalf("%+v", p.Status)
		}
		v.rt.Mute.Store(true)
		v.rt.Exit(uid, "a", 0)
		time.Sleep(health.RelistEvery + v.k.cfg.StatusEvery + time.Second)
		if p := v.get("p"); p.Status.Phase != corev1.PodSucceeded {
			v.Errorf("%+v", p.Status)
		}
		var listed atomic.Bool
		v.rt.SetFail(func(call, _ string) error {
			if call == "List" && !listed.Load() {
				return errors.New("no")
			}
			return nil
		})
		took, c := v.untilReady(corev1.ConditionFalse)
		if took < health.RelistLimit-health.RelistEvery || took > health.RelistLimit+v.k.cfg.StatusEvery || !strings.HasPrefix(c.Message, "PLEG is not healthy: pleg was last seen active 10m") || !strings.HasSuffix(c.Message, " ago; threshold is 10m0s") {
			v.Errorf("after %v: %s", took, c.Message)
		}
		listed.Store(true)
		if took, _ := v.untilReady(corev1.ConditionTrue); took > v.k.cfg.StatusEvery+time.Second {
			v.Errorf("Ready %v after it was listed", took)
		}
	})
}

// hanging is a door whose calls, while it hangs, are answered never, as over a connection that was lost without a word.
type hanging struct {
	client.Interface
	hangs atomic.Bool
}

func (h *hanging) lost(ctx context.Context) error {
	if !h.hangs.Load() {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (h *hanging) Get(ctx context.Context, ref client.Ref, opts metav1.GetOptions) (apiruntime.Object, error) {
	if err := h.lost(ctx); err != nil {
		return nil, err
	}
	return h.Interface.Get(ctx, ref, opts)
}

func (h *hanging) Update(ctx context.Context, ref client.Ref, obj apiruntime.Object, opts metav1.UpdateOptions) (apiruntime.Object, error) {
	if err := h.lost(ctx); err != nil {
		return nil, err
	}
	return h.Interface.Update(ctx, ref, obj, opts)
}

func (h *hanging) Patch(ctx context.Context, ref client.Ref, pt types.PatchType, data []byte, opts metav1.PatchOptions) (apiruntime.Object, error) {
	if err := h.lost(ctx); err != nil {
		return nil, err
	}
	return h.Interface.Patch(ctx, ref, pt, data, opts)
}

// A heartbeat that is never answered does not keep the next ones from being sent.
func TestVirtualHeartbeatsHang(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		time.Sleep(10 * time.Minute)
		v.door.hangs.Store(true)
		time.Sleep(12 * time.Minute) // a lease and a report are under way
		v.door.hangs.Store(false)
		time.Sleep(register.HeartbeatLimit + 7*time.Second + v.k.cfg.StatusEvery)
		l, err := client.Get[*coordv1.Lease](v.Context(), v.hub.Own(), client.Leases, register.LeaseNamespace, "n1")
		if err != nil || time.Since(l.Spec.RenewTime.Time) > 30*time.Second {
			v.Errorf("%v %v", l, err)
		}
		if c := v.readyCondition(); time.Since(c.LastHeartbeatTime.Time) > time.Minute {
			v.Errorf("%+v", c)
		}
	})
}
