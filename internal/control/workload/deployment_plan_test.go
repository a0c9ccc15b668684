package workload

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/control/workload/podcontrol"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func ptr[T any](v T) *T { return &v }

func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "x"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}},
	}
}

func deployment(replicas int32, surge, unavailable intstr.IntOrString) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: "d", Generation: 1},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}},
			Template: template("v1"),
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &surge, MaxUnavailable: &unavailable},
			},
			RevisionHistoryLimit:    ptr(int32(10)),
			ProgressDeadlineSeconds: ptr(int32(600)),
		},
	}
}

func TestFenceposts(t *testing.T) {
	for _, tc := range []struct {
		replicas           int32
		surge, unavailable string
		wantS, wantU       int32
	}{
		{10, "25%", "25%", 3, 2},
		{4, "25%", "25%", 1, 1},
		{1, "25%", "25%", 1, 0},
		{10, "0", "0%", 0, 1},
		{10, "0", "100%", 0, 10},
		{3, "0", "5", 0, 3}, // never more than there are
		{0, "1", "1", 1, 0},
		{10, "200%", "0", 20, 0},
	} {
		d := deployment(tc.replicas, intstr.Parse(tc.surge), intstr.Parse(tc.unavailable))
		if s, u := fenceposts(d); s != tc.wantS || u != tc.wantU {
			t.Errorf("%+v: got %d, %d", tc, s, u)
		}
	}
}

// world plays the hub and the replicaset controller for planDeployment: pods are born, become available and die at random.
type world struct {
	d     *appsv1.Deployment
	sets  []*appsv1.ReplicaSet
	dying map[types.UID]int
	now   time.Time
	rnd   *rand.Rand
	uid   int
	log   []string
}

func newWorld(d *appsv1.Deployment, seed uint64) *world {
	return &world{d: d, dying: map[types.UID]int{}, now: time.Unix(1e9, 0), rnd: rand.New(rand.NewPCG(seed, 1))}
}

func (w *world) plan(t *testing.T) bool {
	t.Helper()
	plan, err := planDeployment(w.d, w.sets, func(u types.UID) bool {
		for _, rs := range w.sets {
			if rs.UID == u {
				return rs.Status.Replicas > 0 || w.dying[u] > 0
			}
		}
		return false
	}, w.now)
	if err != nil {
		t.Fatal(err)
	}
	if plan.rollback != nil {
		w.d = plan.rollback
		w.d.Generation++
		w.log = append(w.log, plan.rollbackEvent.message)
		return true
	}
	if rs := plan.create; rs != nil {
		w.uid++
		rs.UID, rs.Generation, rs.CreationTimestamp = types.UID(fmt.Sprint("rs", w.uid)), 1, metav1.NewTime(w.now)
		w.sets = append(w.sets, rs)
	}
	for _, u := range plan.updates {
		w.log = append(w.log, u.message())
		for i := range w.sets {
			if w.sets[i].UID == u.set.UID {
				w.sets[i] = u.set
				u.set.Generation++
			}
		}
	}
	for _, gone := range plan.remove {
		for i := range w.sets {
			if w.sets[i].UID == gone.UID {
				w.sets = append(w.sets[:i], w.sets[i+1:]...)
				break
			}
		}
	}
	if plan.status != nil {
		w.d = plan.status
	}
	return plan.create != nil || len(plan.updates) > 0 || len(plan.remove) > 0 || plan.status != nil
}

// live lets every set create or delete pods and one random pod become available or vanish.
func (w *world) live(stuck func(rs *appsv1.ReplicaSet) bool) {
	w.now = w.now.Add(time.Second)
	for i, rs := range w.sets {
		rs = rs.DeepCopy()
		w.sets[i] = rs
		s := &rs.Status
		s.ObservedGeneration = rs.Generation
		if s.Replicas > *rs.Spec.Replicas { // unready ones go first
			w.dying[rs.UID] += int(s.Replicas - *rs.Spec.Replicas)
			s.Replicas = *rs.Spec.Replicas
			s.AvailableReplicas = min(s.AvailableReplicas, s.Replicas)
		}
		s.Replicas = *rs.Spec.Replicas
		if s.AvailableReplicas < s.Replicas && !stuck(rs) && w.rnd.IntN(2) == 0 {
			s.AvailableReplicas++
		}
		s.ReadyReplicas = s.AvailableReplicas
		if w.dying[rs.UID] > 0 && w.rnd.IntN(2) == 0 {
			w.dying[rs.UID]--
		}
		s.TerminatingReplicas = ptr(int32(w.dying[rs.UID]))
	}
}

func (w *world) pods() (total, available int32) {
	for _, rs := range w.sets {
		total += *rs.Spec.Replicas
		available += rs.Status.AvailableReplicas
	}
	return total, available
}

func (w *world) settle(t *testing.T, check func()) {
	t.Helper()
	for range 2000 {
		changed := w.plan(t)
		if check != nil {
			check()
		}
		w.live(func(*appsv1.ReplicaSet) bool { return false })
		if !changed && complete(w.d, &w.d.Status) {
			return
		}
	}
	t.Fatalf("never settled: %+v\n%s", w.d.Status, strings.Join(w.log, "\n"))
}

// Whatever the sizes, a rollout ends, never has more pods than maxSurge allows, and never plans fewer than maxUnavailable
// allows to be available.
func TestRolloutKeepsItsBounds(t *testing.T) {
	seed := uint64(0)
	for _, replicas := range []int32{1, 2, 3, 10, 25} {
		for _, surge := range []string{"0", "1", "25%", "100%"} {
			for _, unavailable := range []string{"0", "1", "25%", "100%"} {
				seed++
				w := newWorld(deployment(replicas, intstr.Parse(surge), intstr.Parse(unavailable)), seed)
				w.settle(t, nil)
				s, u := fenceposts(w.d)
				for _, image := range []string{"v2", "v3"} {
					w.d.Spec.Template = template(image)
					w.d.Generation++
					w.settle(t, func() {
						total, _ := w.pods()
						if total > replicas+s {
							t.Fatalf("%d/%s/%s: %d pods", replicas, surge, unavailable, total)
						}
						planned := int32(0) // what is available and will not be taken away
						for _, rs := range w.sets {
							planned += min(rs.Status.AvailableReplicas, *rs.Spec.Replicas)
						}
						if planned < replicas-u {
							t.Fatalf("%d/%s/%s: only %d stay available", replicas, surge, unavailable, planned)
						}
					})
				}
				if c := conditionOf(&w.d.Status, appsv1.DeploymentProgressing); c == nil || c.Reason != reasonAvailable {
					t.Errorf("condition %+v", c)
				}
				if w.d.Annotations[revision] != "3" {
					t.Errorf("revision %q", w.d.Annotations[revision])
				}
			}
		}
	}
}

func TestRecreateNeverRunsBoth(t *testing.T) {
	d := deployment(5, intstr.FromInt32(0), intstr.FromInt32(0))
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	w := newWorld(d, 7)
	w.settle(t, nil)
	w.d.Spec.Template = template("v2")
	w.d.Generation++
	w.settle(t, func() {
		if len(w.sets) > 1 && *w.sets[1].Spec.Replicas > 0 && (w.dying[w.sets[0].UID] > 0 || w.sets[0].Status.Replicas > 0) {
			t.Fatalf("both run")
		}
	})
}

func TestRollbackToEarlierRevision(t *testing.T) {
	w := newWorld(deployment(3, intstr.FromInt32(1), intstr.FromInt32(0)), 3)
	w.settle(t, nil)
	w.d.Spec.Template = template("v2")
	w.d.Generation++
	w.settle(t, nil)
	w.d.Annotations[appsv1.DeprecatedRollbackTo] = "0"
	w.settle(t, nil)
	if img := w.d.Spec.Template.Spec.Containers[0].Image; img != "v1" || w.d.Annotations[revision] != "3" {
		t.Fatalf("image %s, revision %s", img, w.d.Annotations[revision])
	}
	if w.sets[0].Annotations[revisionHistory] != "1" || w.sets[0].Annotations[revision] != "3" {
		t.Fatalf("annotations %v", w.sets[0].Annotations)
	}
	w.d.Annotations[appsv1.DeprecatedRollbackTo] = "99"
	w.settle(t, nil)
	if last := w.log[len(w.log)-1]; last != "Unable to find the revision to rollback to." {
		t.Fatal(last)
	}
}

func TestHistoryIsLimited(t *testing.T) {
	w := newWorld(deployment(2, intstr.FromInt32(1), intstr.FromInt32(1)), 3)
	w.d.Spec.RevisionHistoryLimit = ptr(int32(2))
	for i := range 6 {
		w.d.Spec.Template = template(fmt.Sprint("v", i))
		w.d.Generation++
		w.settle(t, nil)
	}
	if len(w.sets) != 3 || w.sets[0].Spec.Template.Spec.Containers[0].Image != "v3" {
		t.Fatalf("%d sets", len(w.sets))
	}
}

func TestDeadlineIsMissed(t *testing.T) {
	w := newWorld(deployment(3, intstr.FromInt32(1), intstr.FromInt32(0)), 3)
	w.d.Spec.ProgressDeadlineSeconds = ptr(int32(60))
	for range 5 {
		w.plan(t)
		w.live(func(*appsv1.ReplicaSet) bool { return true })
	}
	plan, _ := planDeployment(w.d, w.sets, func(types.UID) bool { return false }, w.now)
	if plan.requeue < 50*time.Second || plan.requeue > 62*time.Second {
		t.Fatalf("requeue after %v", plan.requeue)
	}
	w.now = w.now.Add(plan.requeue)
	w.plan(t)
	c := conditionOf(&w.d.Status, appsv1.DeploymentProgressing)
	if c.Reason != reasonTimedOut || c.Status != corev1.ConditionFalse || !strings.HasSuffix(c.Message, "has timed out progressing.") {
		t.Fatalf("%+v", c)
	}
	w.settle(t, nil)
	if c := conditionOf(&w.d.Status, appsv1.DeploymentProgressing); c.Reason != reasonAvailable {
		t.Fatalf("%+v", c)
	}
}

func TestPauseAndResume(t *testing.T) {
	w := newWorld(deployment(3, intstr.FromInt32(1), intstr.FromInt32(0)), 3)
	w.settle(t, nil)
	w.d.Spec.Paused = true
	w.d.Spec.Template = template("v2")
	w.d.Generation++
	for range 5 {
		w.plan(t)
		w.live(func(*appsv1.ReplicaSet) bool { return false })
	}
	if c := conditionOf(&w.d.Status, appsv1.DeploymentProgressing); len(w.sets) != 1 || c.Reason != reasonPaused || c.Status != corev1.ConditionUnknown {
		t.Fatalf("%d sets, %+v", len(w.sets), c)
	}
	w.d.Spec.Replicas = ptr(int32(5)) // a paused deployment still scales
	w.d.Generation++
	w.plan(t)
	if *w.sets[0].Spec.Replicas != 5 {
		t.Fatalf("size %d", *w.sets[0].Spec.Replicas)
	}
	w.d.Spec.Paused = false
	w.d.Generation++
	w.settle(t, nil)
	if len(w.sets) != 2 {
		t.Fatal("not rolled out after resume")
	}
}

// Upstream's example: 10 replicas with surge 3 in the middle of a rollout of 5, 5 and 3, scaled to 15 and to 5.
func TestProportionalScaling(t *testing.T) {
	mk := func(name string, size int32, age int, image string) *appsv1.ReplicaSet {
		rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(time.Unix(int64(1e6-age), 0))},
			Spec: appsv1.ReplicaSetSpec{Replicas: &size, Template: template(image)}}
		annotateSize(rs, 10, 13)
		return rs
	}
	for _, tc := range []struct {
		to    int32
		sizes string
	}{{15, "a=7 b=7 c=4"}, {20, "a=9 b=9 c=5"}, {5, "a=3 b=3 c=2"}, {0, "a=0 b=0 c=0"}} {
		d := deployment(tc.to, intstr.FromInt32(3), intstr.FromInt32(2))
		d.Spec.Template = template("c")
		sets := []*appsv1.ReplicaSet{mk("a", 5, 3, "a"), mk("b", 5, 2, "b"), mk("c", 3, 1, "c")}
		plan, err := planDeployment(d, sets, func(types.UID) bool { return true }, time.Unix(1e6, 0))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int32{"a": 5, "b": 5, "c": 3}
		sum := int32(0)
		for _, u := range plan.updates {
			got[u.set.Name] = *u.set.Spec.Replicas
		}
		for _, n := range got {
			sum += n
		}
		if tc.to > 0 && sum != tc.to+3 {
			t.Errorf("to %d: sizes add up to %d", tc.to, sum)
		}
		if s := fmt.Sprintf("a=%d b=%d c=%d", got["a"], got["b"], got["c"]); s != tc.sizes {
			t.Errorf("to %d: %s, want %s", tc.to, s, tc.sizes)
		}
	}
}

func TestTemplateHashIsStable(t *testing.T) {
	a, b := template("v1"), template("v1")
	if podcontrol.TemplateHash(&a, nil) != podcontrol.TemplateHash(&b, nil) || podcontrol.TemplateHash(&a, nil) == podcontrol.TemplateHash(&a, ptr(int32(1))) {
		t.Fatal("hash")
	}
	b.Labels[hashLabel] = "123"
	if !sameTemplate(&a, &b) {
		t.Fatal("the hash label makes a difference")
	}
	b.Spec.Containers[0].Image = "v2"
	if sameTemplate(&a, &b) {
		t.Fatal("the image makes none")
	}
}

func TestLengthen(t *testing.T) {
	if got := lengthen("", "1"); got != "1" {
		t.Error(got)
	}
	if got := lengthen("1,2", "3"); got != "1,2,3" {
		t.Error(got)
	}
	long := strings.TrimSuffix(strings.Repeat("1000,", 399), ",")
	if got := lengthen(long, "2000"); len(got) > historyChars || !strings.HasSuffix(got, ",2000") {
		t.Error(len(got))
	}
}
