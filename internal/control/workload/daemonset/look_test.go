package daemonset

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var now = time.Unix(1_000_000, 0)

func aSet(unavailable, surge string) *appsv1.DaemonSet {
	u, s := intstr.Parse(unavailable), intstr.Parse(surge)
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "agent", UID: "set", Generation: 2, Annotations: map[string]string{appsv1.DeprecatedTemplateGeneration: "7"}},
		Spec: appsv1.DaemonSetSpec{UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &u, MaxSurge: &s}}},
	}
}

// nodes reads "a b:NoSchedule c:NoExecute": names, and a taint that nobody tolerates.
func nodes(text string) (out []*corev1.Node) {
	for _, word := range strings.Fields(text) {
		name, effect, tainted := strings.Cut(word, ":")
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if tainted {
			n.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffect(effect)}}
		}
		out = append(out, n)
	}
	return out
}

// pods reads "a:new/ready a:old/unready/dying b:old/unbound": nodes, revisions, how they are. They are named in their order.
func pods(text string) (out []*corev1.Pod) {
	for i, word := range strings.Fields(text) {
		node, rest, _ := strings.Cut(word, ":")
		parts := strings.Split(rest, "/")
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "d", Name: fmt.Sprint("p", i), CreationTimestamp: metav1.NewTime(now.Add(time.Duration(i-100) * time.Second)),
			Labels: map[string]string{hashLabel: parts[0]},
		}}
		p.Spec.NodeName = node
		for _, how := range parts[1:] {
			switch how {
			case "ready":
				p.Status.Phase = corev1.PodRunning
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-5 * time.Second))}}
			case "unready":
				p.Status.Phase = corev1.PodRunning
			case "failed":
				p.Status.Phase = corev1.PodFailed
			case "succeeded":
				p.Status.Phase = corev1.PodSucceeded
			case "dying":
				p.DeletionTimestamp = &metav1.Time{Time: now}
			case "unbound":
				p.Spec = pinned(p, node).Spec
				p.Spec.NodeName = ""
			}
		}
		out = append(out, p)
	}
	return out
}

func (p *plan) String() string {
	var out []string
	for _, n := range p.create {
		out = append(out, "+"+n)
	}
	for _, pod := range p.remove {
		out = append(out, "-"+pod.Name)
	}
	return strings.Join(out, " ")
}

func TestManage(t *testing.T) {
	for _, c := range []struct{ name, surge, nodes, pods, want string }{
		{"a pod on each", "0", "b a c:NoSchedule d:NoExecute", "", "+a +b"},
		{"nothing to do", "0", "a b", "a:new/ready b:new/unready", ""},
		{"one that waits to be bound counts", "0", "a", "a:new/unbound", ""},
		{"stays where none would be made", "0", "a:NoSchedule", "a:new/ready", ""},
		{"does not stay", "0", "a:NoExecute", "a:new/ready", "-p0"},
		{"the oldest stays", "0", "a", "a:new/ready a:new/ready a:old/ready", "-p1 -p2"},
		{"the bound one stays", "0", "a", "a:new/unbound a:new/ready", "-p0"},
		{"one on its way out is waited for", "0", "a", "a:new/ready/dying", ""},
		{"one on its way out is not waited for when pods surge", "1", "a", "a:new/ready/dying", "+a"},
		{"failed", "0", "a", "a:new/failed", "-p0"},
		{"succeeded", "0", "a", "a:new/succeeded", "-p0"},
		{"ended and on its way out is gone", "0", "a", "a:new/failed/dying", "+a"},
		{"for a node that is gone, unbound", "0", "a", "a:new/ready gone:new/unbound", "-p1"},
		{"for a node that is gone, bound", "0", "a", "a:new/ready gone:new/ready", ""},
		{"surging", "1", "a", "a:old/ready a:new/unready", ""},
		{"surged", "1", "a", "a:old/ready a:new/ready", "-p0"},
		{"surging where the old one is unwell", "1", "a", "a:old/unready a:new/unready", "-p0"},
		{"surging, too many", "1", "a", "a:old/ready a:old/ready a:new/unready a:new/unready", "-p1 -p3"},
	} {
		l := newLook(aSet("1", c.surge), "new", nodes(c.nodes), pods(c.pods), now)
		if got := l.manage(&backoff{}).String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestRoll(t *testing.T) {
	for _, c := range []struct{ name, unavailable, surge, nodes, pods, want string }{
		{"one at a time", "1", "0", "a b c", "a:old/ready b:old/ready c:old/ready", "-p0"},
		{"while one is unavailable", "1", "0", "a b c", "a:new/unready b:old/ready c:old/ready", ""},
		{"while one is missing", "1", "0", "a b c", "b:old/ready c:old/ready", ""},
		{"the unavailable go", "1", "0", "a b c", "a:old/ready b:old/unready c:old/unready", "-p1 -p2"},
		{"half, rounded up", "50%", "0", "a b c", "a:old/ready b:old/ready c:old/ready", "-p0 -p1"},
		{"impossible is one", "0", "0", "a b", "a:old/ready b:old/ready", "-p0"},
		{"done", "1", "0", "a b", "a:new/ready b:new/ready", ""},
		{"surge", "0", "1", "a b", "a:old/ready b:old/ready", "+a"},
		{"surging", "0", "1", "a b", "a:old/ready b:old/ready a:new/unready", ""},
		{"surged", "0", "1", "a b", "a:old/ready b:old/ready a:new/ready", "+b -p0"},
		{"surge beside the unavailable", "0", "1", "a b c", "a:old/unready b:old/ready c:old/unready", "+a +c +b"},
		{"surge, a share", "0", "50%", "a b c", "a:old/ready b:old/ready c:old/ready", "+a +b"},
		{"surge, no longer wanted, unavailable", "0", "1", "a b:NoSchedule", "a:new/ready b:old/unready", "-p1"},
		{"surge, no longer wanted, enough others", "0", "1", "a b:NoSchedule", "a:new/ready b:old/ready", "-p1"},
		{"surge, no longer wanted, not enough others", "0", "1", "a b:NoSchedule", "a:new/unready b:old/ready", ""},
	} {
		l := newLook(aSet(c.unavailable, c.surge), "new", nodes(c.nodes), pods(c.pods), now)
		p, err := l.roll()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := p.String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	onDelete := aSet("1", "0")
	onDelete.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}
	if p, err := newLook(onDelete, "new", nodes("a"), pods("a:old/ready"), now).roll(); err != nil || !p.empty() {
		t.Errorf("on delete: %v, %v", p, err)
	}
}

func TestCountStatus(t *testing.T) {
	ds := aSet("1", "0")
	ds.Spec.MinReadySeconds = 3
	byNumber := pods("e:other/ready")[0]
	byNumber.Labels[generationLabel] = "7"
	l := newLook(ds, "new", nodes("a b c d:NoSchedule e"), append(pods("a:new/ready b:old/unready d:new/ready"), byNumber), now)
	s := l.countStatus()
	if got := fmt.Sprint(s.DesiredNumberScheduled, s.CurrentNumberScheduled, s.NumberMisscheduled, s.NumberReady, s.UpdatedNumberScheduled, s.NumberAvailable, s.NumberUnavailable, s.ObservedGeneration); got != "4 3 1 2 2 2 2 2" {
		t.Errorf("status %s", got)
	}
	ds.Spec.MinReadySeconds = 60
	if l = newLook(ds, "new", nodes("a"), pods("a:new/ready"), now); l.next != 55*time.Second || l.countStatus().NumberAvailable != 0 {
		t.Errorf("available in %v", l.next)
	}
}

func TestBackoff(t *testing.T) {
	var b backoff
	at := now
	var waits []time.Duration
	for range 12 {
		b.failed("x", at)
		d := b.delay("x", at)
		waits = append(waits, d)
		if b.delay("y", at) != 0 || b.delay("x", at.Add(d)) != 0 {
			t.Fatal("waits for nothing")
		}
		at = at.Add(d)
	}
	if waits[0] != time.Second || waits[3] != 8*time.Second || waits[11] != 15*time.Minute || !slices.IsSorted(waits) {
		t.Errorf("waits %v", waits)
	}
	at = at.Add(time.Hour)
	b.failed("y", at)
	if len(b.mu.places) != 1 || b.delay("y", at) != time.Second {
		t.Errorf("remembers %v", b.mu.places)
	}
}

// The tolerations stand where a template has the like, and behind the others; the affinity for the node takes the place of what
// the template requires, and leaves what it prefers.
func TestPodOf(t *testing.T) {
	ds := aSet("1", "0")
	seconds := int64(5)
	ds.Spec.Template.Spec.Tolerations = []corev1.Toleration{
		{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds},
		{Key: "mine", Operator: corev1.TolerationOpExists},
	}
	ds.Spec.Template.Spec.HostNetwork = true
	ds.Spec.Template.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution:  &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{}, {}}},
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{Weight: 1}},
	}}
	p := pinned(podOf(ds, "h"), "a")
	var keys []string
	for _, tol := range p.Spec.Tolerations {
		keys = append(keys, strings.TrimPrefix(tol.Key, "node.kubernetes.io/"))
	}
	if got := strings.Join(keys, " "); got != "not-ready mine unreachable disk-pressure memory-pressure pid-pressure unschedulable network-unavailable" || p.Spec.Tolerations[0].TolerationSeconds != nil {
		t.Errorf("tolerations %s", got)
	}
	if targetOf(p) != "a" || len(p.Spec.Affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution) != 1 || p.Labels[hashLabel] != "h" || p.Labels[generationLabel] != "7" {
		t.Errorf("pod %+v", p)
	}
	if len(ds.Spec.Template.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms) != 2 || len(ds.Spec.Template.Spec.Tolerations) != 2 {
		t.Error("the template has changed")
	}
}
