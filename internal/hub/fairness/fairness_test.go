package fairness

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
)

func as(name string, groups ...string) *api.User { return &api.User{Name: name, Groups: groups} }

var (
	admin   = as("kubernetes-admin", "kubeadm:cluster-admins", api.GroupAuthenticated)
	node    = as("system:node:n1", api.GroupNodes, api.GroupAuthenticated)
	service = api.ServiceAccount("default", "a", "")
)

func on(u *api.User, verb, group, plural, namespace string) *Request {
	plural, sub, _ := strings.Cut(plural, "/")
	return &Request{User: u, Resource: true, Verb: verb, Group: group, Plural: plural, Subresource: sub, Namespace: namespace}
}

func path(u *api.User, verb, p string) *Request { return &Request{User: u, Verb: verb, Path: p} }

// Requests belong where a real v1.37.1 puts them.
func TestClassify(t *testing.T) {
	f := New(600)
	system := api.ServiceAccount("kube-system", "x", "")
	const leases = "coordination.k8s.io"
	for _, row := range []struct {
		q    *Request
		want string
	}{
		{on(as("root", api.GroupMasters), "list", "", "pods", ""), "exempt"},
		{path(as(api.UserAnonymous, "system:unauthenticated"), "get", "/readyz"), "probes"},
		{path(as(api.UserAnonymous, "system:unauthenticated"), "get", "/version"), "global-default"},
		{on(admin, "get", "", "pods", "default"), "global-default"},
		{on(node, "update", leases, "leases", "kube-node-lease"), "system-node-high"},
		{on(node, "patch", "", "nodes/status", ""), "system-node-high"},
		{on(node, "patch", "", "pods/status", "default"), "system-nodes"},
		{on(node, "list", "", "pods", ""), "system-nodes"},
		{on(as(api.UserScheduler, api.GroupAuthenticated), "update", leases, "leases", "kube-system"), "system-leader-election"},
		{on(as(api.UserScheduler, api.GroupAuthenticated), "delete", leases, "leases", "kube-system"), "kube-scheduler"},
		{on(as(api.UserControllers, api.GroupAuthenticated), "list", "", "pods", ""), "kube-controller-manager"},
		{on(&system, "get", leases, "leases", "kube-system"), "system-leader-election"},
		{on(&system, "list", "", "pods", ""), "kube-system-service-accounts"},
		{on(&service, "list", "", "pods", ""), "service-accounts"},
		{on(as("stranger"), "list", "", "pods", ""), "catch-all"},
	} {
		tk := f.Classify(row.q)
		if tk.schema.name != row.want {
			t.Errorf("%+v: %s, want %s", row.q, tk.schema.name, row.want)
		}
	}
}

func TestMatch(t *testing.T) {
	rule := func(change func(*flowcontrolv1.ResourcePolicyRule)) *flowcontrolv1.ResourcePolicyRule {
		r := &flowcontrolv1.ResourcePolicyRule{Verbs: []string{"get"}, APIGroups: []string{"apps"}, Resources: []string{"deployments", "pods/log"}, Namespaces: []string{"a"}}
		change(r)
		return r
	}
	same := func(*flowcontrolv1.ResourcePolicyRule) {}
	for _, row := range []struct {
		rule *flowcontrolv1.ResourcePolicyRule
		q    *Request
		want bool
	}{
		{rule(same), on(admin, "get", "apps", "deployments", "a"), true},
		{rule(same), on(admin, "get", "apps", "deployments", "b"), false},
		{rule(same), on(admin, "list", "apps", "deployments", "a"), false},
		{rule(same), on(admin, "get", "", "deployments", "a"), false},
		{rule(same), on(admin, "get", "apps", "deployments/scale", "a"), false},
		{rule(same), on(admin, "get", "apps", "pods/log", "a"), true},
		{rule(same), on(admin, "get", "apps", "deployments", ""), false},
		{rule(func(r *flowcontrolv1.ResourcePolicyRule) { r.ClusterScope = true }), on(admin, "get", "apps", "deployments", ""), true},
		{rule(func(r *flowcontrolv1.ResourcePolicyRule) { r.Namespaces = []string{"*"} }), on(admin, "get", "apps", "deployments", ""), false},
		{rule(func(r *flowcontrolv1.ResourcePolicyRule) { r.Resources = []string{"*"} }), on(admin, "get", "apps", "deployments/scale", "a"), true},
	} {
		if got := inResource(row.rule, row.q); got != row.want {
			t.Errorf("%+v, %+v: %v", row.rule, row.q, got)
		}
	}
	paths := &flowcontrolv1.NonResourcePolicyRule{Verbs: []string{"*"}, NonResourceURLs: []string{"/metrics", "/apis/*"}}
	for p, want := range map[string]bool{"/metrics": true, "/metrics/x": false, "/apis/": true, "/apis/apps": true, "/api": false} {
		if got := inPath(paths, path(admin, "get", p)); got != want {
			t.Errorf("%s: %v", p, got)
		}
	}
}

// With upstream's seats the levels have upstream's limits.
func TestLimits(t *testing.T) {
	f := New(600)
	got := map[string]string{}
	for _, l := range f.now.Load().levels {
		lim := l.limits.Load()
		got[l.name] = fmt.Sprint(lim.nominal, lim.lendable)
	}
	want := map[string]string{"catch-all": "13 0", "exempt": "0 0", "global-default": "49 25", "leader-election": "25 0", "node-high": "98 25", "system": "74 24",
		"workload-high": "98 49", "workload-low": "245 221"}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s: %s, want %s", name, got[name], w)
		}
	}
}

func TestDeal(t *testing.T) {
	seen := map[string]bool{}
	for h := range uint64(1000) {
		hand := deal(h*0x9E3779B97F4A7C15, 16, 4)
		if len(hand) != 4 || !slices.IsSorted(hand) || hand[0] < 0 || hand[3] > 15 || len(slices.Compact(slices.Clone(hand))) != 4 {
			t.Fatal(hand)
		}
		seen[fmt.Sprint(hand)] = true
	}
	if len(seen) < 400 { // of 1820
		t.Errorf("%d different hands", len(seen))
	}
	if got := deal(7, 3, 3); !slices.Equal(got, []int{0, 1, 2}) {
		t.Error(got)
	}
}

// small is a world of two levels of ten seats each and no lending but what a test says.
func small(t *testing.T, change func(levels []*flowcontrolv1.PriorityLevelConfiguration)) *Fairness {
	t.Helper()
	schemas := []*flowcontrolv1.FlowSchema{
		newFlow("one", "a", 10, flowcontrolv1.FlowDistinguisherMethodByUserType, everythingOf(), user("u1"), user("u2")),
		newFlow("two", "b", 20, "", everythingOf(), user("v")),
	}
	levels := []*flowcontrolv1.PriorityLevelConfiguration{newLevel("a", 10, 0, 8, 1), newLevel("b", 10, 0, 8, 1)}
	none := newLevel("catch-all", 0, 0, 1, 1)
	if change != nil {
		change(levels)
	}
	f := New(20)
	f.Set(schemas, append(levels, none))
	return f
}

func everythingOf() flowcontrolv1.PolicyRulesWithSubjects {
	all := []string{"*"}
	return flowcontrolv1.PolicyRulesWithSubjects{ResourceRules: []flowcontrolv1.ResourcePolicyRule{{Verbs: all, APIGroups: all, Resources: all, ClusterScope: true, Namespaces: all}}}
}

// crowd counts who has come in.
type crowd struct {
	f  *Fairness
	mu sync.Mutex
	in []*Ticket
	no []error
}

// come lets n requests of a user come.
func (c *crowd) come(ctx context.Context, user string, n int) {
	for range n {
		go func() {
			q := on(as(user), "list", "", "pods", "")
			tk := c.f.Classify(q)
			err := tk.Enter(ctx, q, 1)
			c.mu.Lock()
			defer c.mu.Unlock()
			if err != nil {
				c.no = append(c.no, err)
			} else {
				c.in = append(c.in, &tk)
			}
		}()
	}
	synctest.Wait()
}

// leave lets the n requests leave that came in first.
func (c *crowd) leave(n int) {
	for range n {
		c.mu.Lock()
		tk := c.in[0]
		c.in = c.in[1:]
		c.mu.Unlock()
		tk.Leave()
		synctest.Wait()
	}
}

func TestQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := small(t, nil)
		c := &crowd{f: f}
		c.come(t.Context(), "u1", 40)
		if len(c.in) != 10 || f.waiting.Load() != 30 {
			t.Fatalf("%d are in, %d wait", len(c.in), f.waiting.Load())
		}
		// Another level is not concerned.
		other := &crowd{f: f}
		other.come(t.Context(), "v", 10)
		if len(other.in) != 10 {
			t.Errorf("%d of another level are in", len(other.in))
		}
		// Whoever leaves lets one in.
		c.leave(5)
		if len(c.in) != 10 || f.waiting.Load() != 25 {
			t.Errorf("%d are in, %d wait", len(c.in), f.waiting.Load())
		}
		// A queue has an end.
		c.come(t.Context(), "u1", 50)
		if len(c.no) != 25 || !errors.Is(c.no[0], ErrFull) {
			t.Errorf("%d are refused: %v", len(c.no), c.no)
		}
		// Who waits too long is refused.
		synctest.Wait()
		c.mu.Lock()
		c.no = nil
		c.mu.Unlock()
		// Time passes only when all wait.
		time.Sleep(Patience)
		synctest.Wait()
		if len(c.no) != 50 || !errors.Is(c.no[0], ErrLate) {
			t.Errorf("%d are refused: %v", len(c.no), c.no)
		}
		c.leave(10)
		other.leave(10)
		for _, l := range f.now.Load().levels {
			if l.executing.Load() != 0 || l.waiting.Load() != 0 {
				t.Errorf("%s: %d seats are taken, %d wait when all have left", l.name, l.executing.Load(), l.waiting.Load())
			}
		}
	})
}

// A flow that fills its queue leaves others theirs, and they take turns.
func TestFlowsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := small(t, func(levels []*flowcontrolv1.PriorityLevelConfiguration) {
			levels[0].Spec.Limited.LimitResponse.Queuing.Queues = 4096 // so that two flows do not meet
		})
		c := &crowd{f: f}
		c.come(t.Context(), "u1", 50)
		few := &crowd{f: f}
		few.come(t.Context(), "u2", 5)
		c.leave(10)
		if len(few.in) != 5 {
			t.Errorf("of ten seats that came free %d went to the other flow", len(few.in))
		}
		c.leave(len(c.in))
		for f.waiting.Load() > 0 {
			c.leave(len(c.in))
		}
	})
}

func TestBorrowing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := small(t, func(levels []*flowcontrolv1.PriorityLevelConfiguration) {
			levels[1].Spec.Limited.LendablePercent = new(int32(50))
		})
		c, lender := &crowd{f: f}, &crowd{f: f}
		lender.come(t.Context(), "v", 7)
		c.come(t.Context(), "u1", 20)
		if len(c.in) != 13 {
			t.Errorf("%d are in with three seats lent", len(c.in))
		}
		// A lender takes its own seats at once.
		lender.come(t.Context(), "v", 3)
		if len(lender.in) != 10 {
			t.Errorf("%d of the lender are in", len(lender.in))
		}
		c.leave(3)
		if len(c.in) != 10 {
			t.Errorf("%d are in with nothing lent", len(c.in))
		}
		lender.leave(10)
		if len(c.in) != 15 {
			t.Errorf("%d are in when five are lent", len(c.in))
		}
	})
}

func TestLimitOfBorrowing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := small(t, func(levels []*flowcontrolv1.PriorityLevelConfiguration) {
			levels[0].Spec.Limited.BorrowingLimitPercent = new(int32(20))
			levels[1].Spec.Limited.LendablePercent = new(int32(100))
		})
		c := &crowd{f: f}
		c.come(t.Context(), "u1", 20)
		if len(c.in) != 12 {
			t.Errorf("%d are in", len(c.in))
		}
		c.leave(12)
	})
}

// Nodes' leases find seats however many lists of others wait, and an administrator of the last resort always.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(60)
		q := on(&service, "list", "", "pods", "")
		for range 2000 {
			go func() {
				tk := f.Classify(q)
				if tk.Enter(t.Context(), q, 10) == nil {
					<-t.Context().Done()
				}
			}()
		}
		synctest.Wait()
		if f.waiting.Load() == 0 {
			t.Fatal("nobody waits")
		}
		for _, q := range []*Request{
			on(node, "update", "coordination.k8s.io", "leases", "kube-node-lease"), on(node, "patch", "", "pods/status", "default"),
			on(as(api.UserScheduler, api.GroupAuthenticated), "update", "coordination.k8s.io", "leases", "kube-system"),
			on(as("root", api.GroupMasters), "list", "", "pods", ""), on(admin, "get", "", "pods", "default"),
		} {
			tk := f.Classify(q)
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // who cannot come in at once is refused
			if err := tk.Enter(ctx, q, 1); err != nil {
				t.Errorf("%s %s: %v", q.User.Name, q.Plural, err)
			}
		}
	})
}

// Rules that change take nobody's seat away.
func TestSet(t *testing.T) {
	f := New(600)
	q := on(admin, "get", "", "pods", "")
	tk := f.Classify(q)
	if err := tk.Enter(t.Context(), q, 1); err != nil {
		t.Fatal(err)
	}
	schemas, levels := Defaults()
	schemas = slices.DeleteFunc(schemas, func(s *flowcontrolv1.FlowSchema) bool { return s.Name == "global-default" || s.Name == "catch-all" })
	levels[3].UID, schemas[0].UID = "l", "s"
	f.Set(append(schemas, newFlow("dangling", "none", 1, "", everythingOf(), group("*"))), levels)
	again := f.Classify(q)
	if again.schema.name != "catch-all" {
		t.Errorf("a schema that names no level counts: %s", again.schema.name)
	}
	exempt := f.Classify(on(as("root", api.GroupMasters), "get", "", "pods", ""))
	if s, _ := exempt.Headers(); len(s) != 1 || s[0] != "s" || !exempt.Exempt() {
		t.Errorf("%v", s)
	}
	tk.Leave()
	if n := tk.level.executing.Load(); n != 0 {
		t.Errorf("%d seats are taken", n)
	}
}

func TestDumps(t *testing.T) {
	f := New(600)
	for name, first := range map[string]string{
		"dump_priority_levels": "PriorityLevelName, ActiveQueues, IsIdle, IsQuiescing, WaitingRequests, ExecutingRequests, DispatchedRequests, RejectedRequests, TimedoutRequests, CancelledRequests",
		"dump_queues":          "PriorityLevelName, Index,  PendingRequests, ExecutingRequests, SeatsInUse, NextDispatchR, InitialSeatsSum, MaxSeatsSum, TotalWorkSum",
		"dump_requests":        "PriorityLevelName, FlowSchemaName, QueueIndex, RequestIndexInQueue, FlowDistingsher, ArriveTime, InitialSeats, FinalSeats, AdditionalLatency, StartTime",
	} {
		w := httptest.NewRecorder()
		f.Dumps()[DebugPath+name].ServeHTTP(w, httptest.NewRequest("GET", DebugPath+name, nil))
		line, _, _ := strings.Cut(w.Body.String(), "\n")
		if strings.Join(strings.Fields(line), " ") != strings.Join(strings.Fields(first), " ") {
			t.Errorf("%s: %q", name, line)
		}
	}
}

// What finds a seat costs no allocation.
func TestFreeSeatCostsNothing(t *testing.T) {
	f := New(600)
	q := on(admin, "get", "", "pods", "default")
	var tk Ticket // as part of what is known of a request
	if n := testing.AllocsPerRun(100, func() {
		tk = f.Classify(q)
		if tk.Enter(context.Background(), q, 1) == nil {
			tk.Leave()
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEnter(b *testing.B) {
	f := New(600)
	q := on(admin, "get", "", "pods", "default")
	b.ReportAllocs()
	var tk Ticket
	for b.Loop() {
		tk = f.Classify(q)
		if tk.Enter(context.Background(), q, 1) == nil {
			tk.Leave()
		}
	}
}
