package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"sampan.dev/internal/control/scheduler/extend"
	"sampan.dev/internal/control/scheduler/plugin"
	"sampan.dev/internal/control/scheduler/preempt"
)

// extender is a server whose answers a test chooses; it keeps what it was asked.
type extender struct {
	*httptest.Server
	status int
	filter extenderv1.ExtenderFilterResult
	prefer extenderv1.HostPriorityList
	bind   extenderv1.ExtenderBindingResult

	mu    sync.Mutex
	asked []string
}

func newExtender(t *testing.T) *extender {
	e := &extender{status: http.StatusOK}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *extender) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var answer any
	said := strings.Trim(r.URL.Path, "/")
	switch said {
	case "filter", "prefer":
		var args extenderv1.ExtenderArgs
		_ = json.NewDecoder(r.Body).Decode(&args)
		var names []string
		if args.NodeNames != nil {
			names = append(names, *args.NodeNames...)
		}
		if args.Nodes != nil {
			for _, n := range args.Nodes.Items {
				names = append(names, n.Name+"+")
			}
		}
		slices.Sort(names)
		said += fmt.Sprint(" ", args.Pod.Name, names)
		answer = e.filter
		if strings.HasPrefix(said, "prefer") {
			answer = e.prefer
		}
	case "bind":
		var args extenderv1.ExtenderBindingArgs
		_ = json.NewDecoder(r.Body).Decode(&args)
		said += fmt.Sprintf(" %s/%s %s %s", args.PodNamespace, args.PodName, args.PodUID, args.Node)
		answer = e.bind
	}
	e.mu.Lock()
	e.asked = append(e.asked, said)
	e.mu.Unlock()
	w.WriteHeader(e.status)
	_ = json.NewEncoder(w).Encode(answer)
}

// listed is a list that is there, though it may be empty.
func listed(list ...string) *[]string { return &list }

// A pod comes to the node that the extenders leave and prefer, and is told what they and the plugins say where there is none.
func TestExtenders(t *testing.T) {
	gpu := func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"example.com/gpu": resource.MustParse("1")}
	}
	for _, tt := range []struct {
		name       string
		set        func(*extender, *extend.Config)
		pod        *corev1.Pod
		want, why  string
		asked      string
		resolvable string
		fails      bool
	}{
		{name: "one is left", set: func(e *extender, c *extend.Config) { e.filter.NodeNames = listed("b") }, want: "b", asked: "filter p[a b]"},
		{name: "whole nodes", set: func(e *extender, c *extend.Config) {
			c.NodeCacheCapable = false
			e.filter.Nodes = &corev1.NodeList{Items: []corev1.Node{*testNode("b", "2", "2Gi")}}
		}, want: "b", asked: "filter p[a+ b+]"},
		{name: "none is left", set: func(e *extender, c *extend.Config) {
			e.filter.NodeNames = listed()
			e.filter.FailedNodes = extenderv1.FailedNodesMap{"a": "too old", "b": "too new"}
			e.filter.FailedAndUnresolvableNodes = extenderv1.FailedNodesMap{"b": "broken"}
		}, why: "0/3 nodes are available: 1 Insufficient cpu, 1 broken, 1 too old.", asked: "filter p[a b]", resolvable: "a"},
		{name: "none is left, without a reason", set: func(e *extender, c *extend.Config) {},
			why: "0/3 nodes are available: 1 Insufficient cpu.", asked: "filter p[a b]"},
		{name: "one that was not sent", set: func(e *extender, c *extend.Config) { e.filter.NodeNames = listed("c") }, fails: true,
			why: `extender "URL" claims a filtered node "c" which is not found in the input node list`, asked: "filter p[a b]"},
		{name: "an error", set: func(e *extender, c *extend.Config) { e.filter.Error = "out of order" }, fails: true, why: "out of order", asked: "filter p[a b]"},
		{name: "a status", set: func(e *extender, c *extend.Config) { e.status = 500 }, fails: true, why: "failed filter with extender at URL URL/filter, code 500", asked: "filter p[a b]"},
		{name: "a status that is ignored", set: func(e *extender, c *extend.Config) { e.status, c.Ignorable, c.PrioritizeVerb = 500, true, "prefer" }, want: "a or b", asked: "filter p[a b], prefer p[a b]"},
		{name: "a preference", set: func(e *extender, c *extend.Config) {
			c.FilterVerb, c.PrioritizeVerb, c.Weight = "", "prefer", 10
			e.prefer = extenderv1.HostPriorityList{{Host: "a", Score: 1}, {Host: "b", Score: 9}, {Host: "c", Score: 10}}
		}, want: "b", asked: "prefer p[a b]"},
		{name: "a preference of no choice", set: func(e *extender, c *extend.Config) {
			c.PrioritizeVerb, e.filter.NodeNames = "prefer", listed("a")
		}, want: "a", asked: "filter p[a b]"},
		{name: "no interest", set: func(e *extender, c *extend.Config) {
			c.ManagedResources, e.filter.NodeNames = []string{"example.com/gpu"}, listed("a")
		}, want: "a or b"},
		{name: "interest", set: func(e *extender, c *extend.Config) {
			c.ManagedResources, e.filter.NodeNames = []string{"example.com/gpu"}, listed("a")
		},
			pod: testPod("p", "1", "", gpu), want: "a", asked: "filter p[a b]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newExtender(t)
			cfg := extend.Config{URLPrefix: e.URL, FilterVerb: "filter", NodeCacheCapable: true}
			tt.set(e, &cfg)
			one, err := extend.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			chain, p := extend.NewChain(slog.New(slog.DiscardHandler), one), defaultProfile()
			s, rs, dice := newSnapshot(p), newRankings(p), rand.New(rand.NewPCG(1, 1))
			for _, n := range []*corev1.Node{testNode("a", "2", "2Gi"), testNode("b", "2", "2Gi"), testNode("c", "0", "2Gi")} {
				s.setNode(n.Name, n)
			}
			obj := tt.pod
			if obj == nil {
				obj = testPod("p", "1", "")
			}
			pod := p.newPod(obj)
			var out outcome
			if chain.Interested(obj) {
				out = rs.placeExtended(t.Context(), pod, s, chain, dice)
			} else {
				out = rs.place(pod, s, dice)
			}
			if text := strings.ReplaceAll(out.text, e.URL, "URL"); text != tt.why || out.node == "" != (tt.want == "") || !strings.Contains(tt.want, out.node) || out.err != nil != tt.fails {
				t.Errorf("on %q: %s (%v)", out.node, text, out.err)
			}
			if got := strings.Join(e.asked, ", "); got != tt.asked {
				t.Errorf("asked %q, want %q", got, tt.asked)
			}
			var resolvable []string
			for _, n := range out.resolvable {
				resolvable = append(resolvable, n.Name)
			}
			slices.Sort(resolvable)
			if strings.Join(resolvable, " ") != tt.resolvable {
				t.Errorf("evicting may help on %v, want %s", resolvable, tt.resolvable)
			}
			if out.node == "" && !tt.fails {
				if by := out.by[len(out.by)-1]; by.Name() != "Extender" || !by.Helps(pod, plugin.Change{Event: plugin.NodeLabel}) {
					t.Errorf("the pod waits for what helps %s", by.Name())
				}
			}
		})
	}
}

// The one extender that binds is the one to write the binding of what it manages; where it may fail, the scheduler writes it.
func TestExtenderBinds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		set   func(*extender, *extend.Config)
		bound bool
		err   string
	}{
		{"it does", func(*extender, *extend.Config) {}, true, ""},
		{"it does not", func(e *extender, _ *extend.Config) { e.bind.Error = "no" }, true, "no"},
		{"it may fail", func(e *extender, c *extend.Config) { e.bind.Error, c.Ignorable = "no", true }, false, ""},
		{"another's pod", func(_ *extender, c *extend.Config) { c.ManagedResources = []string{"example.com/gpu"} }, false, ""},
	} {
		e := newExtender(t)
		cfg := extend.Config{URLPrefix: e.URL + "/", BindVerb: "bind"}
		tt.set(e, &cfg)
		one, err := extend.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		bound, err := extend.NewChain(slog.New(slog.DiscardHandler), one).Bind(t.Context(), testPod("p", "", ""), "n")
		if bound != tt.bound || err == nil != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%s: %v, %v", tt.name, bound, err)
		}
		if got := strings.Join(e.asked, ", "); len(cfg.ManagedResources) == 0 && got != "bind default/p p n" {
			t.Errorf("%s: asked %q", tt.name, got)
		}
	}
	if bound, err := (*extend.Chain)(nil).Bind(context.Background(), testPod("p", "", ""), "n"); bound || err != nil {
		t.Error("nobody has bound it")
	}
}

// Extenders choose among the victims, by node.
func TestExtendersPreempt(t *testing.T) {
	victims := func(left map[string][]string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			answer := extenderv1.ExtenderPreemptionResult{NodeNameToMetaVictims: map[string]*extenderv1.MetaVictims{}}
			for node, uids := range left {
				v := &extenderv1.MetaVictims{}
				for _, uid := range uids {
					v.Pods = append(v.Pods, &extenderv1.MetaPod{UID: uid})
				}
				answer.NodeNameToMetaVictims[node] = v
			}
			_ = json.NewEncoder(w).Encode(answer)
		}
	}
	for _, tt := range []struct {
		name      string
		left      map[string][]string
		ignorable bool
		want      string // node, or what is said
	}{
		{"the other node", map[string][]string{"b": {"on-b"}}, false, "b"},
		{"no node", nil, false, "preemption: no candidate node for preemption"},
		{"nobody on a node", map[string][]string{"b": nil}, false, `preemption: expected at least one victim pod on node "b"`},
		{"nobody on a node, which is ignored", map[string][]string{"a": {"on-a"}, "b": nil}, true, "a"},
		{"a stranger", map[string][]string{"b": {"x"}}, false, "preemption: extender: URL claims to preempt pod (UID: &{x}) on node: b, but the pod is not found on that node"},
	} {
		server := httptest.NewServer(victims(tt.left))
		one, err := extend.New(extend.Config{URLPrefix: server.URL, PreemptVerb: "preempt", Ignorable: tt.ignorable})
		if err != nil {
			t.Fatal(err)
		}
		chain := extend.NewChain(slog.New(slog.DiscardHandler), one)
		got := preemptOnTwo(t, chain)
		server.Close()
		if got = strings.ReplaceAll(got, server.URL, "URL"); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// preemptOnTwo has a pod look for victims on nodes a and b, of which on-a is the less important, and returns the node that is chosen, or
// what is said.
func preemptOnTwo(t *testing.T, chain *extend.Chain) string {
	t.Helper()
	p := defaultProfile()
	s := newSnapshot(p)
	of := func(name string, value int32) *corev1.Pod {
		return testPod(name, "2", "", func(p *corev1.Pod) { p.Spec.Priority = &value })
	}
	var nodes []*plugin.Node
	for i, name := range []string{"a", "b"} {
		s.setNode(name, testNode(name, "2", "2Gi"))
		s.addPod(name, plugin.NewPod(of("on-"+name, int32(1+i))))
		nodes = append(nodes, s.byName[name])
	}
	for _, f := range p.PostFilters {
		if d, ok := f.(*preempt.DefaultPreemption); ok {
			d.Connect(preempt.Hands{Extenders: chain})
			pod := p.newPod(of("p", 10))
			if got := d.PostFilter(pod, nodes, p.without(pod, s)); got.Node != "" {
				return got.Node
			} else {
				return got.Message
			}
		}
	}
	t.Fatal("no preemption")
	return ""
}
