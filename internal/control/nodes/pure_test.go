package nodes

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var now = time.Unix(1e9, 0)

func node(name, zone string, ready corev1.ConditionStatus, taints ...corev1.Taint) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))}}
	if zone != "" {
		n.Labels = map[string]string{corev1.LabelTopologyZone: zone}
	}
	if ready != "" {
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
	}
	n.Spec.Taints = taints
	return n
}

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		name     string
		node     *corev1.Node
		silent   time.Duration
		deadline time.Duration // from now
		reasons  string        // of the new status; "" for none
	}{
		{"healthy", node("n", "", corev1.ConditionTrue), 20 * time.Second, 30 * time.Second, ""},
		{"about to", node("n", "", corev1.ConditionTrue), 50*time.Second - 1, 1, ""},
		{"silent", node("n", "", corev1.ConditionTrue), 50 * time.Second, 0, "NodeStatusUnknown NodeStatusNeverUpdated NodeStatusNeverUpdated NodeStatusNeverUpdated"},
		{"not ready and silent", node("n", "", corev1.ConditionFalse), time.Hour, 50*time.Second - time.Hour, "NodeStatusUnknown NodeStatusNeverUpdated NodeStatusNeverUpdated NodeStatusNeverUpdated"},
		{"never heard, starting", node("n", "", ""), 55 * time.Second, 5 * time.Second, ""},
		{"never heard", node("n", "", ""), 60 * time.Second, 0, "NodeStatusNeverUpdated NodeStatusNeverUpdated NodeStatusNeverUpdated NodeStatusNeverUpdated"},
	} {
		deadline, status := judge(tc.node, now.Add(-tc.silent), now, 50*time.Second, 60*time.Second)
		if deadline.Sub(now) != tc.deadline {
			t.Errorf("%s: deadline %v", tc.name, deadline.Sub(now))
		}
		var reasons []string
		if status != nil {
			for _, c := range status.Conditions {
				reasons = append(reasons, c.Reason)
			}
			tc.node.Status = *status
			if _, again := judge(tc.node, now.Add(-time.Hour), now, 50*time.Second, 60*time.Second); again != nil {
				t.Errorf("%s: given up twice", tc.name)
			}
		}
		if got := strings.Join(reasons, " "); got != tc.reasons {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
}

func TestDesiredTaints(t *testing.T) {
	taint := func(s string) corev1.Taint {
		key, effect, _ := strings.Cut(s, ":")
		if !strings.Contains(key, "/") {
			key = "node.kubernetes.io/" + key
		}
		return corev1.Taint{Key: key, Effect: corev1.TaintEffect(effect)}
	}
	for _, tc := range []struct {
		have    string
		ready   corev1.ConditionStatus
		unsched bool
		evict   eviction
		want    string
	}{
		{"", corev1.ConditionTrue, false, dropTaints, ""},
		{"not-ready:NoSchedule mine/x:NoSchedule", corev1.ConditionTrue, false, dropTaints, "mine/x:NoSchedule"},
		{"", corev1.ConditionFalse, false, keepTaints, "not-ready:NoSchedule"},
		{"not-ready:NoSchedule", corev1.ConditionFalse, false, placeTaints, "not-ready:NoSchedule not-ready:NoExecute"},
		{"not-ready:NoSchedule not-ready:NoExecute", corev1.ConditionUnknown, false, placeTaints, "unreachable:NoSchedule unreachable:NoExecute"},
		{"unreachable:NoSchedule unreachable:NoExecute", corev1.ConditionTrue, false, dropTaints, ""},
		{"unreachable:NoExecute", corev1.ConditionUnknown, false, dropTaints, "unreachable:NoSchedule"}, // everything is down
		{"", corev1.ConditionTrue, true, dropTaints, "unschedulable:NoSchedule"},
		{"unschedulable:NoSchedule out-of-service:NoExecute", corev1.ConditionTrue, false, dropTaints, "out-of-service:NoExecute"},
	} {
		n := node("n", "", tc.ready)
		n.Spec.Unschedulable = tc.unsched
		for _, s := range strings.Fields(tc.have) {
			n.Spec.Taints = append(n.Spec.Taints, taint(s))
		}
		got, changed := desiredTaints(n, tc.evict, now)
		var texts []string
		for _, g := range got {
			texts = append(texts, strings.TrimPrefix(g.Key, "node.kubernetes.io/")+":"+string(g.Effect))
		}
		if s := strings.Join(texts, " "); s != tc.want || changed != (tc.have != tc.want) {
			t.Errorf("%+v: %q, changed %v", tc, s, changed)
		}
	}
}

func TestZoneStates(t *testing.T) {
	mk := func(zone string, up, down int) (out []*corev1.Node) {
		for i := range up + down {
			status := corev1.ConditionTrue
			if i >= up {
				status = corev1.ConditionUnknown
			}
			out = append(out, node(fmt.Sprint(zone, i), zone, status))
		}
		return out
	}
	for _, tc := range []struct {
		up, down int
		want     zoneState
	}{{5, 0, zoneNormal}, {3, 2, zoneNormal}, {0, 2, zoneFull}, {2, 2, zoneNormal}, {2, 3, zonePartial}, {46, 54, zoneNormal}, {45, 55, zonePartial}, {1, 2, zoneNormal}} {
		states, sizes := zoneStates(mk("z", tc.up, tc.down), 0.55)
		if got := states[":"+"\x00:z"]; got != tc.want || sizes[":\x00:z"] != tc.up+tc.down {
			t.Errorf("%+v: %v", tc, states)
		}
	}
	excluded := node("n", "z", corev1.ConditionUnknown)
	excluded.Labels[excludeDisruption] = ""
	states, sizes := zoneStates(append(mk("z", 1, 0), excluded), 0.55)
	if states[":\x00:z"] != zoneNormal || sizes[":\x00:z"] != 1 {
		t.Error(states, sizes)
	}
	r := rates{normal: 0.1, secondary: 0.01, large: 50}
	for _, tc := range []struct {
		state zoneState
		size  int
		all   bool
		want  float64
	}{{zoneNormal, 10, false, 0.1}, {zonePartial, 50, false, 0}, {zonePartial, 51, false, 0.01}, {zoneFull, 10, false, 0.1}, {zoneFull, 10, true, 0}} {
		if got := r.of(tc.state, tc.size, tc.all); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

func TestTurnstile(t *testing.T) {
	ts := newEvictionQueue(0.1, now)
	at := now
	if ok, _ := ts.pass("a", at); !ok {
		t.Fatal("the first does not pass")
	}
	ok, wait := ts.pass("b", at)
	if ok || wait != 10*time.Second {
		t.Fatal(ok, wait)
	}
	if ok, wait = ts.pass("c", at); ok || wait != 20*time.Second {
		t.Fatal(ok, wait)
	}
	at = at.Add(10 * time.Second)
	if ok, _ = ts.pass("c", at); ok {
		t.Fatal("c overtakes b")
	}
	if ok, _ = ts.pass("b", at); !ok {
		t.Fatal("b waits on")
	}
	ts.giveBack("b")
	if ok, _ = ts.pass("b", at); !ok {
		t.Fatal("b lost its turn")
	}
	ts.set(0, at)
	if ok, wait = ts.pass("c", at.Add(time.Hour)); ok || wait != 0 {
		t.Fatal("a queue of rate 0 lets through", ok, wait)
	}
	ts.set(1, at.Add(time.Hour))
	if ok, _ = ts.pass("c", at.Add(time.Hour+time.Second)); !ok {
		t.Fatal("c waits on")
	}
	ts.pass("d", at.Add(time.Hour+time.Second))
	ts.leave("d")
	if len(ts.nodes) != 0 {
		t.Fatal(ts.nodes)
	}
}

func TestEvictionTime(t *testing.T) {
	s := func(n int64) *int64 { return &n }
	x := corev1.Taint{Key: "x", Value: "1", Effect: corev1.TaintEffectNoExecute}
	y := corev1.Taint{Key: "y", Effect: corev1.TaintEffectNoExecute}
	tolerate := func(key string, seconds *int64) corev1.Toleration {
		return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, TolerationSeconds: seconds}
	}
	since := now.Add(-time.Minute)
	for _, tc := range []struct {
		name        string
		tolerations []corev1.Toleration
		taints      []corev1.Taint
		in          time.Duration // from since; -1: never; -2: now
	}{
		{"no taints", nil, nil, -1},
		{"not tolerated", nil, []corev1.Taint{x}, -2},
		{"one of two", []corev1.Toleration{tolerate("x", nil)}, []corev1.Taint{x, y}, -2},
		{"for ever", []corev1.Toleration{tolerate("x", nil), tolerate("z", s(5))}, []corev1.Taint{x}, -1},
		{"for a while", []corev1.Toleration{tolerate("x", s(300))}, []corev1.Taint{x}, 300 * time.Second},
		{"the least", []corev1.Toleration{tolerate("x", s(300)), tolerate("y", s(20))}, []corev1.Taint{x, y}, 20 * time.Second},
		{"negative is zero", []corev1.Toleration{tolerate("x", s(-5))}, []corev1.Taint{x}, 0},
		{"everything", []corev1.Toleration{{Operator: corev1.TolerationOpExists}}, []corev1.Taint{x, y}, -1},
		{"another value", []corev1.Toleration{{Key: "x", Value: "2"}}, []corev1.Taint{x}, -2},
	} {
		at, evict := evictionTime(tc.tolerations, tc.taints, since, now)
		want := since.Add(tc.in)
		if tc.in == -2 {
			want = now
		}
		if evict != (tc.in != -1) || evict && !at.Equal(want) {
			t.Errorf("%s: %v %v", tc.name, at, evict)
		}
	}
}

func TestRanges(t *testing.T) {
	r, err := newRanges(netip.MustParsePrefix("10.244.0.0/16"), 24)
	if err != nil {
		t.Fatal(err)
	}
	r.exclude(netip.MustParsePrefix("10.96.0.0/12"))
	r.exclude(netip.MustParsePrefix("10.244.3.0/25"))
	if err := r.occupy(netip.MustParsePrefix("10.244.1.0/24"), "old"); err != nil {
		t.Fatal(err)
	}
	seen := map[netip.Prefix]bool{}
	for i := range 254 {
		p, err := r.take(fmt.Sprint(i))
		if err != nil || seen[p] || !r.holds(p, fmt.Sprint(i)) {
			t.Fatal(i, p, err)
		}
		seen[p] = true
	}
	if seen[netip.MustParsePrefix("10.244.1.0/24")] || seen[netip.MustParsePrefix("10.244.3.0/24")] || !seen[netip.MustParsePrefix("10.244.255.0/24")] {
		t.Error("wrong ranges")
	}
	if _, err := r.take("more"); err == nil {
		t.Error("a range too many")
	}
	r.release("7")
	if p, err := r.take("more"); err != nil || p.String() != "10.244.9.0/24" {
		t.Error(p, err) // 0, 2, 4, 5, …: the eighth
	}
	six, err := newRanges(netip.MustParsePrefix("fd00:10:244::/56"), 64)
	if err != nil {
		t.Fatal(err)
	}
	six.take("a")
	if p, _ := six.take("b"); p.String() != "fd00:10:244:1::/64" || !six.holds(p, "b") {
		t.Error(p)
	}
	odd, err := newRanges(netip.MustParsePrefix("fd00::/112"), 120)
	if err != nil {
		t.Fatal(err)
	}
	odd.take("a")
	if p, _ := odd.take("b"); p.String() != "fd00::100/120" || !odd.holds(p, "b") {
		t.Error(p)
	}
	for _, bad := range []struct {
		p    string
		bits int
	}{{"10.0.0.0/24", 16}, {"10.0.0.0/8", 25}, {"fd00::/32", 64}, {"10.0.0.0/24", 33}} {
		if _, err := newRanges(netip.MustParsePrefix(bad.p), bad.bits); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestTTLStep(t *testing.T) {
	step := 0
	for _, tc := range []struct{ n, seconds int }{{1, 0}, {100, 0}, {101, 15}, {95, 15}, {89, 0}, {5000, 300}, {1900, 300}, {1700, 60}, {3, 0}} {
		step = ttlStep(step, tc.n)
		if ttlSteps[step].seconds != tc.seconds {
			t.Errorf("%d nodes: %d s", tc.n, ttlSteps[step].seconds)
		}
	}
}

func TestOldest(t *testing.T) {
	pod := func(name string, age time.Duration, evicted bool) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(now.Add(-age))}}
		p.Status.Phase = corev1.PodFailed
		if evicted {
			p.Status.Reason = "Evicted"
		}
		return p
	}
	got := oldest([]*corev1.Pod{pod("young", time.Minute, false), pod("old", time.Hour, false), pod("evicted", time.Second, true)}, 2)
	if got[0].Name != "evicted" || got[1].Name != "old" {
		t.Error(got[0].Name, got[1].Name)
	}
}
