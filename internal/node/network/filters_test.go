package network

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/node/netnstest"
	nf "sampan.dev/internal/node/nft"

	"github.com/google/nftables"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// foreignChain gives this namespace somebody else's base chain.
func foreignChain(t *testing.T, name string, hook *nftables.ChainHook, policy nftables.ChainPolicy, rules ...nf.Exprs) {
	t.Helper()
	b := nf.NewBatch()
	table := b.AddTable(&nftables.Table{Name: name, Family: nftables.TableFamilyINet})
	c := b.AddChain(&nftables.Chain{Table: table, Name: "c", Type: nftables.ChainTypeFilter, Hooknum: hook,
		Priority: nftables.ChainPriorityFilter, Policy: &policy})
	for _, r := range rules {
		b.Rule(c, r)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := nf.DropTables(name); err != nil {
			t.Error(err)
		}
	})
}

// marked counts the rules of ours in a table of somebody else's.
func marked(t *testing.T, table, mark string) int {
	t.Helper()
	list, err := nf.Rules(nftables.TableFamilyINet, table)
	if err != nil {
		t.Fatal(err)
	}
	return len(slices.DeleteFunc(list, func(r nf.ForeignRule) bool { return r.Comment != mark }))
}

// Packets get through whatever others filter, and whenever they begin to.
func TestPacketFiltersOfOthers(t *testing.T) {
	const drop, accept = nftables.ChainPolicyDrop, nftables.ChainPolicyAccept
	for _, test := range []struct {
		name  string
		make  func(t *testing.T)
		ours  int
		later bool // it comes after the node
	}{
		{"forward policy", func(t *testing.T) { foreignChain(t, "foreign", nftables.ChainHookForward, drop) }, 2, false},
		{"forward rule", func(t *testing.T) { foreignChain(t, "foreign", nftables.ChainHookForward, accept, nf.Drop()) }, 2, false},
		{"input policy", func(t *testing.T) {
			foreignChain(t, "foreign", nftables.ChainHookInput, drop, slices.Concat(nf.InName("lo"), nf.Accept()))
		}, 1, false},
		{"output policy", func(t *testing.T) { foreignChain(t, "foreign", nftables.ChainHookOutput, drop) }, 1, false},
		{"Docker comes later", func(t *testing.T) { foreignChain(t, "foreign", nftables.ChainHookForward, drop) }, 2, true},
		{"one that drops nothing", func(t *testing.T) { foreignChain(t, "foreign", nftables.ChainHookForward, accept) }, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			world := outside2(t)
			if !test.later {
				test.make(t)
			}
			n := newNetwork(t, "0a1b2c3d")
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { n.guardRules(ctx); close(done) }()
			t.Cleanup(func() { cancel(); <-done })
			nsA, nsB := netnstest.New(t), netnstest.New(t)
			port := `{"cniVersion":"1.0.0","runtimeConfig":{"portMappings":[{"hostPort":5000,"containerPort":8080,"protocol":"tcp"}]}}`
			a, b := addPod(t, n, "a", nsA, plain), addPod(t, n, "b", nsB, port)
			whoami(t, nsB, 8080)
			whoami(t, world, 8080)
			if test.later {
				eventually(t, func() bool { return len(n.filters) == 0 })
				test.make(t)
			}
			eventually(t, func() bool { return marked(t, "foreign", n.names.table()) == test.ours })
			expect(t, nsA, "tcp", b.String()+":8080", a.String())
			expect(t, nsA, "tcp", "192.0.2.2:8080", "192.0.2.1")
			if test.name != "output policy" { // that the node may not speak to others is none of ours
				expect(t, "", "tcp", b.String()+":8080", "")
			}
			expect(t, world, "tcp", "192.0.2.1:5000", "192.0.2.2")
			if test.ours == 0 {
				return
			}
			// Somebody takes our rules out of the chain again.
			conn, err := nftables.New()
			if err != nil {
				t.Fatal(err)
			}
			conn.FlushChain(&nftables.Chain{Name: "c", Table: &nftables.Table{Name: "foreign", Family: nftables.TableFamilyINet}})
			if err := conn.Flush(); err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(test.name, "policy") {
				eventually(t, func() bool { return marked(t, "foreign", n.names.table()) == test.ours })
			}
			if err := Cleanup("0a1b2c3d"); err != nil {
				t.Error(err)
			}
			if left := marked(t, "foreign", n.names.table()); left != 0 {
				t.Errorf("%d rules of ours are left", left)
			}
		})
	}
}

// patches takes what is written about a node.
type patches struct {
	client.Writer
	conditions chan corev1.NodeCondition
	events     chan *corev1.Event
}

func (p patches) Patch(_ context.Context, _ client.Ref, _ types.PatchType, data []byte, _ metav1.PatchOptions) (runtime.Object, error) {
	var node corev1.Node
	if err := json.Unmarshal(data, &node); err != nil {
		return nil, err
	}
	for _, c := range node.Status.Conditions {
		p.conditions <- c
	}
	return &node, nil
}

func (p patches) Create(_ context.Context, _ client.Ref, o runtime.Object, _ metav1.CreateOptions) (runtime.Object, error) {
	if e, ok := o.(*corev1.Event); ok {
		p.events <- e
	}
	return o, nil
}

// What cannot be opened is told: the node's condition and an event name table, chain and rule.
func TestPacketFilterIsNamed(t *testing.T) {
	n := newNetwork(t, "0a1b2c3d")
	p := patches{conditions: make(chan corev1.NodeCondition, 10), events: make(chan *corev1.Event, 10)}
	n.cfg.Door = p
	const place = "from pods to other hosts by table inet foreign, chain c, rule 7: drop"
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	for _, test := range []struct {
		blocked string
		have    []corev1.NodeCondition
		want    corev1.NodeCondition
	}{
		{"", nil, corev1.NodeCondition{Status: corev1.ConditionFalse, Reason: "RoutesReady"}},
		{place, nil, corev1.NodeCondition{Status: corev1.ConditionTrue, Reason: "PacketFilterBlocks", Message: place}},
		{place, []corev1.NodeCondition{{Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionTrue, Message: "another"}},
			corev1.NodeCondition{Status: corev1.ConditionTrue, Reason: "PacketFilterBlocks", Message: place}},
		{"", []corev1.NodeCondition{{Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionTrue}},
			corev1.NodeCondition{Status: corev1.ConditionFalse, Reason: "RoutesReady"}},
	} {
		n.mu.blocked = test.blocked
		node.Status.Conditions = test.have
		if err := n.report(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		if got := <-p.conditions; got.Status != test.want.Status || got.Reason != test.want.Reason || test.want.Message != "" && got.Message != test.want.Message {
			t.Errorf("%+v, want %+v", got, test.want)
		}
	}
}

// A node that no route of ours can reach is named in an event, once.
func TestUnreachedPodsAreTold(t *testing.T) {
	n := newNetwork(t, "0a1b2c3d")
	p := patches{conditions: make(chan corev1.NodeCondition, 10), events: make(chan *corev1.Event, 10)}
	n.cfg.Door = p
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { n.guardRules(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	behind := errors.Join(errors.New("route to 10.244.1.0/24: node address 203.0.113.9 is behind 192.0.2.1"), errors.New("another"))
	n.unreached(behind)
	n.unreached(behind)
	want := "pods here and there do not reach each other: route to 10.244.1.0/24: node address 203.0.113.9 is behind 192.0.2.1; another"
	if e := <-p.events; e.Type != corev1.EventTypeWarning || e.Reason != "PodsUnreachable" || e.InvolvedObject.Name != "n1" || e.Message != want {
		t.Errorf("%+v", e)
	}
	n.unreached(nil)
	n.unreached(errors.New("a third"))
	if e := <-p.events; !strings.HasSuffix(e.Message, ": a third") {
		t.Errorf("%+v", e)
	}
}

// A table that belongs to one program alone (as firewalld's since 2.1) cannot be opened: an event and the condition say so,
// and when it goes, that is seen.
func TestOwnedTableIsTold(t *testing.T) {
	n := newNetwork(t, "0a1b2c3d")
	p := patches{conditions: make(chan corev1.NodeCondition, 10), events: make(chan *corev1.Event, 10)}
	n.cfg.Door, n.lookAgain = p, 10*time.Millisecond
	release := netnstest.OwnedTable(t, "kept")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { n.guardRules(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	e := <-p.events
	if e.Type != corev1.EventTypeWarning || e.Reason != "PacketFilterBlocks" || e.InvolvedObject.Kind != "Node" || e.InvolvedObject.Name != "n1" ||
		!strings.Contains(e.Message, "from pods to other hosts") || !strings.Contains(e.Message, "by table inet kept, chain forward: policy drop") {
		t.Errorf("%+v", e)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	if err := n.report(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	if c := <-p.conditions; c.Status != corev1.ConditionTrue || !strings.Contains(c.Message, "table inet kept, chain forward: policy drop") {
		t.Errorf("%+v", c)
	}
	release()
	eventually(t, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.mu.blocked == ""
	})
}
