package kubelet

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/client"
	"sampan.dev/internal/node/register"
	"sampan.dev/internal/node/runtime"

	coordv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// within is how long a node may take to set right what somebody else has changed.
const within = 11 * time.Second

// TestVirtualOthersWrites has somebody else change each thing that a kubelet writes, twice over: it is set right each time.
func TestVirtualOthersWrites(t *testing.T) {
	for name, c := range map[string]struct {
		res       ref
		sub       string
		change    string // a merge patch
		right     func(o api.Object) bool
		untouched bool // what others have written is theirs
	}{
		"a pod's readiness": {pod, "status", `{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`, podOf(ready), false},
		"a pod's conditions, all of them": {pod, "status", `{"status":{"conditions":null}}`, podOf(func(p *corev1.Pod) bool {
			return ready(p) && pods.FindCondition(p.Status.Conditions, corev1.ContainersReady) != nil && pods.FindCondition(p.Status.Conditions, corev1.PodInitialized) != nil
		}), false},
		"a pod's phase": {pod, "status", `{"status":{"phase":"Pending"}}`, podOf(func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning }), false},
		"a pod's address": {pod, "status", `{"status":{"podIP":"192.0.2.9","podIPs":[{"ip":"192.0.2.9"}]}}`,
			podOf(func(p *corev1.Pod) bool { return p.Status.PodIP != "192.0.2.9" && len(p.Status.PodIPs) == 1 }), false},
		"a pod's containers": {pod, "status", `{"status":{"containerStatuses":null}}`,
			podOf(func(p *corev1.Pod) bool {
				return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].Ready
			}), false},
		"a pod's condition of somebody else's": {pod, "status", `{"status":{"conditions":[{"type":"example.com/gate","status":"True"}]}}`,
			podOf(func(p *corev1.Pod) bool {
				return ready(p) && pods.FindCondition(p.Status.Conditions, "example.com/gate") != nil
			}), true},
		"the node's readiness": {node, "status", `{"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}}`, nodeOf(func(n *corev1.Node) bool {
			c := nodeReady(n)
			return c != nil && c.Status == corev1.ConditionTrue
		}), false},
		"the node's conditions, all of them": {node, "status", `{"status":{"conditions":null}}`, nodeOf(func(n *corev1.Node) bool { return len(n.Status.Conditions) >= 4 && nodeReady(n) != nil }), false},
		"the node's addresses": {node, "status", `{"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.9"}]}}`, nodeOf(func(n *corev1.Node) bool {
			return n.Status.Addresses[0].Address != "192.0.2.9" && len(n.Status.Addresses) == 2
		}), false},
		"the node's capacity": {node, "status", `{"status":{"capacity":{"pods":"1"},"allocatable":{"pods":"1"}}}`, nodeOf(func(n *corev1.Node) bool {
			return n.Status.Capacity.Pods().Value() == 110 && n.Status.Allocatable.Pods().Value() == 110
		}), false},
		"the node's info":                        {node, "status", `{"status":{"nodeInfo":{"kubeletVersion":"v0"}}}`, nodeOf(func(n *corev1.Node) bool { return n.Status.NodeInfo.KubeletVersion == "v1.37.1" }), false},
		"the node's port":                        {node, "status", `{"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":1}}}}`, nodeOf(func(n *corev1.Node) bool { return n.Status.DaemonEndpoints.KubeletEndpoint.Port != 1 }), false},
		"the node's label":                       {node, "", `{"metadata":{"labels":{"kubernetes.io/hostname":"other"}}}`, nodeOf(func(n *corev1.Node) bool { return n.Labels[corev1.LabelHostname] == "n1" }), false},
		"the node's label, removed":              {node, "", `{"metadata":{"labels":{"kubernetes.io/arch":null}}}`, nodeOf(func(n *corev1.Node) bool { return n.Labels[corev1.LabelArchStable] == register.Arch }), false},
		"the node's annotation":                  {node, "", `{"metadata":{"annotations":{"volumes.kubernetes.io/controller-managed-attach-detach":null}}}`, nodeOf(func(n *corev1.Node) bool { return n.Annotations[register.AnnotationAttachDetach] == "true" }), false},
		"the node's label of an administrator's": {node, "", `{"metadata":{"labels":{"team":"a"}}}`, nodeOf(func(n *corev1.Node) bool { return n.Labels["team"] == "a" }), true},
		"the lease's holder":                     {beat, "", `{"spec":{"holderIdentity":"other","renewTime":"2001-01-01T00:00:00.000000Z"}}`, leaseOf(fresh), false},
		"the lease's duration":                   {beat, "", `{"spec":{"leaseDurationSeconds":1}}`, leaseOf(fresh), false},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(v *virtual) {
				v.create(podtest.Parse(v.T, strings.Fields("Always main:a")))
				time.Sleep(time.Minute)
				for round := range 2 {
					before := v.at(c.res)
					if !c.untouched && !c.right(before) {
						v.Fatalf("wrong to begin with: %+v", before)
					}
					v.patch(c.res, c.sub, c.change)
					time.Sleep(within)
					if now := v.at(c.res); !c.right(now) {
						v.Fatalf("round %d: still wrong %v later: %+v", round, within, now)
					}
				}
				// Nobody writes on when all is right: what is left are the beats.
				calm := v.at(c.res).GetResourceVersion()
				time.Sleep(time.Minute)
				if now := v.at(c.res).GetResourceVersion(); c.res != beat && now != calm {
					v.Errorf("written on: %s, then %s", calm, now)
				}
			})
		})
	}
}

// TestVirtualLeaseComesBack: a lease that somebody deletes is made anew.
func TestVirtualLeaseComesBack(t *testing.T) {
	inVirtualTime(t, func(v *virtual) {
		if err := client.Delete(v.Context(), v.hub.Own(), client.Leases, register.LeaseNamespace, "n1", ""); err != nil {
			v.Fatal(err)
		}
		time.Sleep(within)
		if !leaseOf(fresh)(v.at(beat)) {
			v.Errorf("%+v", v.at(beat))
		}
	})
}

// TestVirtualSilence cuts a node off while somebody else gives it and its pod up: both are Ready again soon after its return,
// without a restart of anything.
func TestVirtualSilence(t *testing.T) {
	for _, long := range []time.Duration{time.Second, 75 * time.Second, 10 * time.Minute, 3 * time.Hour} {
		t.Run(long.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &virtual{T: t, hub: newHub(t), rt: runtime.NewFake()}
				line := &line{Interface: v.hub.Door(api.Node("n1"), "kubelet")}
				k, err := New(Config{NodeName: "n1", Runtime: v.rt, Door: line, Log: slog.New(slog.DiscardHandler), Machine: hollow{}, NoCgroups: true, Register: true, ContainerLogs: "-"})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { k.Run(ctx); close(done) }()
				defer func() { cancel(); <-done }()
				time.Sleep(time.Second)
				v.create(podtest.Parse(t, strings.Fields("Always main:a")))
				time.Sleep(time.Minute)
				line.cut(true)
				time.Sleep(long)
				v.patch(pod, "status", `{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`)
				v.patch(node, "status", `{"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}}`)
				line.cut(false)
				time.Sleep(10 * time.Second)
				if p := v.get("p"); !ready(p) {
					t.Errorf("the pod: %+v", p.Status.Conditions)
				}
				if c := nodeReady(v.at(node).(*corev1.Node)); c == nil || c.Status != corev1.ConditionTrue {
					t.Errorf("the node: %+v", c)
				}
				if !leaseOf(fresh)(v.at(beat)) {
					t.Errorf("the lease: %+v", v.at(beat))
				}
			})
		})
	}
}

// line is a door that can be cut.
type line struct {
	client.Interface
	mu struct {
		sync.Mutex
		down  bool
		calls []context.CancelFunc
	}
}

// cut ends what is under way, too.
func (l *line) cut(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.down = down
	for _, end := range l.mu.calls {
		end()
	}
	l.mu.calls = nil
}

func (l *line) up() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.down {
		return &url.Error{Op: "Get", URL: "https://hub", Err: syscall.ECONNREFUSED}
	}
	return nil
}

func (l *line) Get(ctx context.Context, ref client.Ref, opts metav1.GetOptions) (kruntime.Object, error) {
	if err := l.up(); err != nil {
		return nil, err
	}
	return l.Interface.Get(ctx, ref, opts)
}

func (l *line) List(ctx context.Context, ref client.Ref, opts metav1.ListOptions) (*client.List, error) {
	if err := l.up(); err != nil {
		return nil, err
	}
	return l.Interface.List(ctx, ref, opts)
}

func (l *line) Watch(ctx context.Context, ref client.Ref, opts metav1.ListOptions) (watch.Interface, error) {
	if err := l.up(); err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.calls = append(l.mu.calls, end)
	return l.Interface.Watch(ctx, ref, opts)
}

func (l *line) Create(ctx context.Context, ref client.Ref, obj kruntime.Object, opts metav1.CreateOptions) (kruntime.Object, error) {
	if err := l.up(); err != nil {
		return nil, err
	}
	return l.Interface.Create(ctx, ref, obj, opts)
}

func (l *line) Update(ctx context.Context, ref client.Ref, obj kruntime.Object, opts metav1.UpdateOptions) (kruntime.Object, error) {
	if err := l.up(); err != nil {
		return nil, err
	}
	return l.Interface.Update(ctx, ref, obj, opts)
}

func (l *line) Patch(ctx context.Context, ref client.Ref, pt types.PatchType, data []byte, opts metav1.PatchOptions) (kruntime.Object, error) {
	if err := l.up(); err != nil {
		return nil, err
	}
	return l.Interface.Patch(ctx, ref, pt, data, opts)
}

// ref names one of the objects that the tests look at.
type ref string

const (
	pod  ref = "pod"
	node ref = "node"
	beat ref = "lease"
)

func (r ref) client() client.Ref {
	return map[ref]client.Ref{
		pod:  {Resource: client.Pods, Namespace: "default", Name: "p"},
		node: {Resource: client.Nodes, Name: "n1"},
		beat: {Resource: client.Leases, Namespace: register.LeaseNamespace, Name: "n1"},
	}[r]
}

func (v *virtual) at(r ref) api.Object {
	v.Helper()
	o, err := v.hub.Own().Get(v.Context(), r.client(), metav1.GetOptions{})
	if err != nil {
		v.Fatal(err)
	}
	return o.(api.Object)
}

// patch changes an object as somebody else: conditions are merged by their type.
func (v *virtual) patch(r ref, sub, change string) {
	v.Helper()
	at := r.client()
	at.Subresource = sub
	kind := types.MergePatchType
	if strings.Contains(change, `"conditions":[`) {
		kind = types.StrategicMergePatchType
	}
	if _, err := v.hub.Own().Patch(v.Context(), at, kind, []byte(change), metav1.PatchOptions{}); err != nil {
		v.Fatal(fmt.Errorf("%s %s: %w", r, change, err))
	}
}

func podOf(f func(*corev1.Pod) bool) func(api.Object) bool {
	return func(o api.Object) bool { return f(o.(*corev1.Pod)) }
}

func nodeOf(f func(*corev1.Node) bool) func(api.Object) bool {
	return func(o api.Object) bool { return f(o.(*corev1.Node)) }
}

func leaseOf(f func(*coordv1.Lease) bool) func(api.Object) bool {
	return func(o api.Object) bool { return f(o.(*coordv1.Lease)) }
}

func nodeReady(n *corev1.Node) *corev1.NodeCondition {
	for i := range n.Status.Conditions {
		if c := &n.Status.Conditions[i]; c.Type == corev1.NodeReady {
			return c
		}
	}
	return nil
}

// fresh is a lease as the node writes it.
func fresh(l *coordv1.Lease) bool {
	return *l.Spec.HolderIdentity == "n1" && *l.Spec.LeaseDurationSeconds == 40 && time.Since(l.Spec.RenewTime.Time) <= within
}
