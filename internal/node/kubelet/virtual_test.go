package kubelet

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/node/register"
	"sampan.dev/internal/node/runtime"

	coordv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// virtual is a hollow node on a hub in virtual time.
type virtual struct {
	*testing.T
	hub  *hub.Hub
	rt   *runtime.Fake
	k    *Kubelet
	door *hanging // the node's
	end  func()   // the kubelet
}

func inVirtualTime(t *testing.T, fn func(v *virtual)) {
	t.Helper()
	inVirtualTimeAt(t, nil, fn)
}

// inVirtualTimeAt runs a node that has these addresses.
func inVirtualTimeAt(t *testing.T, ips []net.IP, fn func(v *virtual)) {
	t.Helper()
	inVirtualTimeWith(t, func(c *Config) { c.NodeIPs = ips }, fn)
}

// inVirtualTimeWith runs a node whose configuration is changed.
func inVirtualTimeWith(t *testing.T, change func(c *Config), fn func(v *virtual)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		v := &virtual{T: t, hub: newHub(t), rt: runtime.NewFake()}
		v.door = &hanging{Interface: v.hub.Door(api.Node("n1"), "kubelet")}
		v.begin(change)
		fn(v)
		v.end()
	})
}

// begin starts the node's kubelet and gives it a second.
func (v *virtual) begin(change func(c *Config)) {
	cfg := Config{NodeName: "n1", Runtime: v.rt, Door: v.door, Log: slog.New(slog.DiscardHandler),
		Machine: hollow{}, NoCgroups: true, Register: true, ResolvConf: "", ContainerLogs: "-"}
	change(&cfg)
	k, err := New(cfg)
	if err != nil {
		v.Fatal(err)
	}
	v.k = k
	ctx, cancel := context.WithCancel(v.Context())
	done := make(chan struct{})
	go func() { k.Run(ctx); close(done) }()
	v.end = func() { cancel(); <-done }
	time.Sleep(time.Second)
	synctest.Wait()
}

// restart ends the kubelet and starts another, with another configuration.
func (v *virtual) restart(change func(c *Config)) {
	v.end()
	v.begin(change)
}

func (v *virtual) create(pod *corev1.Pod) types.UID {
	v.Helper()
	pod.UID, pod.Spec.NodeName = "", "n1"
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].ImagePullPolicy = corev1.PullIfNotPresent
	}
	made, err := client.Create(v.Context(), v.hub.Own(), client.Pods, pod)
	if err != nil {
		v.Fatal(err)
	}
	return made.UID
}

func (v *virtual) get(name string) *corev1.Pod {
	p, err := client.Get[*corev1.Pod](v.Context(), v.hub.Own(), client.Pods, "default", name)
	if err != nil {
		return nil
	}
	return p
}

func (v *virtual) remove(name string) {
	v.Helper()
	if err := client.Delete(v.Context(), v.hub.Own(), client.Pods, "default", name, ""); err != nil {
		v.Fatal(err)
	}
}

func TestVirtualCrashLoop(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		t := v.T // the bubble's
		var starts []time.Duration
		begin := time.Now()
		v.rt.SetBehave(func(types.UID, string, int) runtime.Behavior {
			starts = append(starts, time.Since(begin).Round(time.Second))
			return runtime.Behavior{Ends: true, After: time.Second, Code: 1}
		})
		v.create(podtest.Parse(t, strings.Fields("Always main:a")))
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		// Runs last a second; the pauses between them are 0, 10, 20, 40, 80, 160, 300, 300 … seconds.
		want := []time.Duration{0, 1, 12, 33, 74, 155, 316, 617, 918}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(starts, want) {
			t.Errorf("started at %v, want %v", starts, want)
		}
		p := v.get("p")
		st := p.Status.ContainerStatuses[0]
		if st.State.Waiting == nil || st.State.Waiting.Reason != "CrashLoopBackOff" || st.RestartCount != 8 || st.LastTerminationState.Terminated.ExitCode != 1 {
			t.Errorf("%+v", st)
		}
		if !strings.HasPrefix(st.State.Waiting.Message, "back-off 5m0s restarting failed container=a pod=p_default(") {
			t.Error(st.State.Waiting.Message)
		}
		if pod, _ := v.rt.Pod(t.Context(), p.UID); len(pod.Containers) != 1 {
			t.Errorf("%d dead containers are kept", len(pod.Containers))
		}
	})
}

func TestVirtualDeletion(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		t := v.T // the bubble's
		v.rt.SetBehave(func(types.UID, string, int) runtime.Behavior { return runtime.Behavior{Stubborn: true} })
		pod := podtest.Parse(t, strings.Fields("Always main:a"))
		v.create(pod)
		time.Sleep(time.Second)
		if p := v.get("p"); p.Status.Phase != corev1.PodRunning || p.Status.PodIP == "" || !ready(p) {
			t.Fatalf("%+v", p.Status)
		}
		v.remove("p")
		time.Sleep(29 * time.Second)
		if v.get("p") == nil {
			t.Error("gone before its grace period was over")
		}
		time.Sleep(3 * time.Second)
		if p := v.get("p"); p != nil {
			t.Errorf("still there: %+v", p.Status)
		}
		if pods, _ := v.rt.List(t.Context()); len(pods) != 0 {
			t.Errorf("the runtime still has %d pods", len(pods))
		}
	})
}

func TestVirtualForcedDeletion(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		t := v.T // the bubble's
		v.rt.SetBehave(func(types.UID, string, int) runtime.Behavior { return runtime.Behavior{Stubborn: true} })
		v.create(podtest.Parse(t, strings.Fields("Always main:a")))
		time.Sleep(time.Second)
		v.remove("p") // 30 s …
		time.Sleep(5 * time.Second)
		zero := int64(0)
		if err := v.hub.Own().Delete(t.Context(), client.Ref{Resource: client.Pods, Namespace: "default", Name: "p"}, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second) // … cut short
		if pods, _ := v.rt.List(t.Context()); len(pods) != 0 {
			t.Errorf("the runtime still has %d pods", len(pods))
		}
	})
}

func TestVirtualPull(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		t := v.T // the bubble's
		v.rt.SetAbsent("img:latest")
		var pulls atomic.Int32
		v.rt.SetFail(func(call, subject string) error {
			if call == "Pull" && pulls.Add(1) <= 3 {
				return context.DeadlineExceeded
			}
			return nil
		})
		v.create(podtest.Parse(t, strings.Fields("Always main:a")))
		reason := func() string {
			if w := v.get("p").Status.ContainerStatuses[0].State.Waiting; w != nil {
				return w.Reason
			}
			return "none"
		}
		time.Sleep(time.Second)
		if r := reason(); r != "ErrImagePull" {
			t.Error(r)
		}
		time.Sleep(5 * time.Second)
		if r := reason(); r != "ImagePullBackOff" {
			t.Error(r)
		}
		time.Sleep(70 * time.Second) // 10 + 20 + 40 s of back-off in all
		if p := v.get("p"); !ready(p) {
			t.Errorf("%+v", p.Status)
		}
	})
}

func TestVirtualSidecarsStopLast(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		t := v.T // the bubble's
		v.rt.SetBehave(func(_ types.UID, name string, _ int) runtime.Behavior {
			return runtime.Behavior{Ends: name == "i" || name == "a", After: 10 * time.Second, Stubborn: name == "s1"}
		})
		pod := podtest.Parse(t, strings.Fields("Never side:s1 init:i side:s2 main:a"))
		v.create(pod)
		time.Sleep(5 * time.Minute)
		var order []string
		for _, c := range v.rt.Calls() {
			if strings.HasPrefix(c, "StartContainer") || strings.HasPrefix(c, "StopContainer") {
				order = append(order, c)
			}
		}
		want := "StartContainer s1,StartContainer i,StartContainer s2,StartContainer a,StopContainer s2,StopContainer s1"
		if got := strings.Join(order, ","); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if p := v.get("p"); p.Status.Phase != corev1.PodSucceeded {
			t.Errorf("%+v", p.Status)
		}
	})
}

func TestVirtualDeadline(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		t := v.T // the bubble's
		pod := podtest.Parse(t, strings.Fields("Always main:a"))
		limit := int64(60)
		pod.Spec.ActiveDeadlineSeconds = &limit
		v.create(pod)
		time.Sleep(55 * time.Second)
		if p := v.get("p"); p.Status.Phase != corev1.PodRunning {
			t.Errorf("%+v", p.Status)
		}
		time.Sleep(10 * time.Second)
		if p := v.get("p"); p.Status.Phase != corev1.PodFailed || p.Status.Reason != "DeadlineExceeded" {
			t.Errorf("%+v", p.Status)
		}
	})
}

func TestVirtualNode(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		t := v.T // the bubble's
		for range 3 {
			time.Sleep(5 * time.Minute)
			l, err := client.Get[*coordv1.Lease](t.Context(), v.hub.Own(), client.Leases, register.LeaseNamespace, "n1")
			if err != nil || time.Since(l.Spec.RenewTime.Time) > 11*time.Second || len(l.OwnerReferences) != 1 {
				t.Fatalf("%+v %v", l, err)
			}
		}
		n, err := client.Get[*corev1.Node](t.Context(), v.hub.Own(), client.Nodes, "", "n1")
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })
		c := n.Status.Conditions[i]
		if c.Status != corev1.ConditionTrue || time.Since(c.LastHeartbeatTime.Time) > 5*time.Minute+11*time.Second || time.Since(c.LastTransitionTime.Time) < 14*time.Minute {
			t.Errorf("%+v", c)
		}
		if n.Status.NodeInfo.KubeletVersion != "v1.37.1" || n.Status.NodeInfo.ContainerRuntimeVersion != "fake://1.0" || n.Status.Capacity.Pods().Value() != 110 {
			t.Errorf("%+v", n.Status)
		}
	})
}

func TestVirtualDeathBetweenCreateAndStart(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		t := v.T
		var failed atomic.Bool
		v.rt.SetFail(func(call, _ string) error {
			if call == "StartContainer" && failed.CompareAndSwap(false, true) {
				return context.Canceled
			}
			return nil
		})
		uid := v.create(podtest.Parse(t, strings.Fields("Never main:a")))
		time.Sleep(time.Minute)
		p := v.get("p")
		if st := p.Status.ContainerStatuses[0]; st.State.Running == nil || st.RestartCount != 0 {
			t.Errorf("%+v", st)
		}
		if pod, _ := v.rt.Pod(t.Context(), uid); len(pod.Containers) != 1 {
			t.Errorf("the runtime has %d containers", len(pod.Containers))
		}
	})
}

// A host that gets another address is followed by the node and by its pods, without a status of its own turn; one that loses
// its way to the world, or has another family for a moment, keeps what it has.
func TestHostChanged(t *testing.T) {
	ips := []net.IP{net.IPv4zero} // by the default route, to begin with
	inVirtualTimeAt(t, ips, func(v *virtual) {
		v.create(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default"},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		was := v.k.node.IPs()[0]
		for _, step := range []struct{ now, want string }{{"198.51.100.7", "198.51.100.7"}, {"2001:db8::7", "198.51.100.7"}, {"203.0.113.9", "203.0.113.9"}} {
			ips[0] = net.ParseIP(step.now)
			v.k.HostChanged()
			time.Sleep(time.Second)
			synctest.Wait() // the node looks at ips no more
			n, err := client.Get[*corev1.Node](v.Context(), v.hub.Own(), client.Nodes, "", "n1")
			if err != nil {
				v.Fatal(err)
			}
			i := slices.IndexFunc(n.Status.Addresses, func(a corev1.NodeAddress) bool { return a.Type == corev1.NodeInternalIP })
			if i < 0 || n.Status.Addresses[i].Address != step.want {
				v.Errorf("%s: addresses %v, were %s", step.now, n.Status.Addresses, was)
			}
			if pod := v.get("p"); pod.Status.HostIP != step.want || pod.Status.HostIPs[0].IP != step.want {
				v.Errorf("%s: pod on %s", step.now, pod.Status.HostIP)
			}
		}
	})
}

// A container that cannot be made is tried again soon, and then less and less often.
func TestVirtualContainerThatCannotBeMade(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		t := v.T
		var tries []time.Duration
		begun := time.Now()
		v.rt.SetFail(func(call, _ string) error {
			if call == "CreateContainer" && len(tries) < 8 {
				tries = append(tries, time.Since(begun))
				return context.DeadlineExceeded
			}
			return nil
		})
		v.create(podtest.Parse(t, strings.Fields("Never main:a")))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for i, least := range []time.Duration{1, 2, 4, 8, 10, 10, 10} {
			if gap := tries[i+1] - tries[i]; gap < least*time.Second || gap > least*time.Second*3/2+time.Second {
				t.Errorf("attempt %d came %v after the one before", i+2, gap)
			}
		}
		if p := v.get("p"); p.Status.Phase != corev1.PodRunning {
			t.Errorf("%+v", p.Status)
		}
	})
}
