package control_test

import (
	"fmt"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func budget(name string, spec policyv1.PodDisruptionBudgetSpec) *policyv1.PodDisruptionBudget {
	if spec.Selector == nil {
		spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	}
	return &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: spec}
}

// budgeted is the status of a budget in short: expected, healthy, desired, allowed, disrupted, reason.
func (b *bench) budgeted(name string) string {
	b.Helper()
	p, err := client.Get[*policyv1.PodDisruptionBudget](b.Context(), b.door, client.PodDisruptionBudgets, "default", name)
	if err != nil {
		b.Fatal(err)
	}
	reason := ""
	if c := apimeta.FindStatusCondition(p.Status.Conditions, policyv1.DisruptionAllowedCondition); c != nil {
		reason = c.Reason
		if c.Message != "" {
			reason += ": " + c.Message
		}
	}
	s := p.Status
	return fmt.Sprintf("%d %d %d %d %d %s", s.ExpectedPods, s.CurrentHealthy, s.DesiredHealthy, s.DisruptionsAllowed, len(s.DisruptedPods), reason)
}

func (b *bench) evict(pod string, dry ...string) error {
	_, err := b.door.Create(b.Context(), client.Ref{Resource: client.Pods, Namespace: "default", Name: pod, Subresource: "eviction"},
		&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: pod}}, metav1.CreateOptions{DryRun: dry})
	return err
}

// A budget follows the pods of what scales them; evictions take from it one by one, and get it back when the pods are replaced.
func TestDisruptionBudgets(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		for i := range 3 {
			b.addNode(fmt.Sprint("n", i), nil)
		}
		half, one, all := intstr.FromString("50%"), intstr.FromInt32(1), intstr.FromInt32(4)
		create(b, client.PodDisruptionBudgets, budget("half", policyv1.PodDisruptionBudgetSpec{MinAvailable: &half}))
		b.settle(time.Second)
		if got := b.budgeted("half"); got != "0 0 0 0 0 InsufficientPods" {
			b.Errorf("without pods: %s", got)
		}
		b.hasEvent("default", "controllermanager Normal NoPods: No matching pods found")
		create(b, client.Deployments, deployment("default", "web", 4))
		b.await("rollout", time.Minute, b.rolledOut("default", "web"))
		b.settle(time.Second)
		if got := b.budgeted("half"); got != "4 4 2 2 0 SufficientPods" {
			b.Errorf("with pods: %s", got)
		}
		// Pods that nobody starts again in time use it up.
		b.setSilent(true, "n0", "n1", "n2")
		pods := b.podsOf("default", running)
		if err := b.evict(pods[0].Name, metav1.DryRunAll); err != nil {
			b.Error(err)
		}
		for i, want := range []bool{true, true, false} {
			if err := b.evict(pods[i].Name); (err == nil) != want || err != nil && !apierrors.IsTooManyRequests(err) {
				b.Errorf("eviction %d: %v", i, err)
			}
			b.settle(time.Second)
		}
		if got := b.budgeted("half"); got != "4 2 2 0 0 InsufficientPods" {
			b.Errorf("after two: %s", got)
		}
		b.setSilent(false, "n0", "n1", "n2")
		b.change("default", "web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(6)) })
		for _, p := range b.podsOf("default", func(p *corev1.Pod) bool { return !running(p) }) { // which the stand-ins have let pass
			if err := b.door.Delete(b.Context(), client.Ref{Resource: client.Pods, Namespace: p.Namespace, Name: p.Name}, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
				b.Fatal(err)
			}
		}
		b.await("replaced", 2*time.Minute, func() bool { return len(b.podsOf("default", running)) == 6 })
		b.settle(time.Second)
		if got := b.budgeted("half"); got != "6 6 3 3 0 SufficientPods" {
			b.Errorf("after all: %s", got)
		}
		create(b, client.PodDisruptionBudgets, budget("most", policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one}))
		create(b, client.PodDisruptionBudgets, budget("number", policyv1.PodDisruptionBudgetSpec{MinAvailable: &all}))
		b.settle(time.Second)
		for name, want := range map[string]string{"most": "6 6 5 1 0 SufficientPods", "number": "6 6 4 2 0 SufficientPods"} {
			if got := b.budgeted(name); got != want {
				b.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	})
}

// A percentage of pods that nobody scales, and of one whose controller is not there, or has no scale.
func TestDisruptionBudgetsOfOthersPods(t *testing.T) {
	inBubble(t, control.Config{Controllers: []string{"disruption-controller", "node-lifecycle-controller"}}, func(b *bench) {
		b.addNode("n0", nil)
		half := intstr.FromString("50%")
		create(b, client.PodDisruptionBudgets, budget("half", policyv1.PodDisruptionBudgetSpec{MinAvailable: &half}))
		make := func(name string, owner ...metav1.OwnerReference) {
			create(b, client.Pods, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": "web"}, OwnerReferences: owner},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
			})
			b.settle(time.Second)
		}
		make("bare")
		if got := b.budgeted("half"); got != "0 1 0 0 0 InsufficientPods" {
			b.Error(got)
		}
		b.hasEvent("default", "controllermanager Warning UnmanagedPods: Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:map[string]string{app: web,},")
		for _, c := range []struct{ name, version, kind, want string }{
			{"a", "apps/v1", "ReplicaSet", `found no controllers for pod "a"`},
			{"b", "batch/v1", "Job", "jobs.batch does not implement the scale subresource"},
			{"c", "example.com/v1", "Thing", `no matches for kind "Thing" in version "example.com/v1"`},
		} {
			make(c.name, metav1.OwnerReference{APIVersion: c.version, Kind: c.kind, Name: "x", UID: "1", Controller: new(true)})
			if got := b.budgeted("half"); got != "0 1 0 0 0 SyncFailed: "+c.want {
				b.Error(got)
			}
			b.hasEvent("default", "controllermanager Warning CalculateExpectedPodCountFailed: Failed to calculate the number of expected pods: "+c.want)
			if err := client.Delete(b.Context(), b.door, client.Pods, "default", c.name, ""); err != nil {
				b.Fatal(err)
			}
			b.settle(time.Second)
		}
		if got := b.budgeted("half"); got != "0 1 0 0 0 InsufficientPods" {
			b.Error(got)
		}
		before := b.revision()
		b.settle(9 * time.Second)
		if n := b.revision() - before; n > 1 { // a lease
			b.Errorf("%d writes while nothing happened: %v", n, b.writtenSince(before))
		}
	})
}

// What an eviction took for a pod that did not go comes back, and the pod is told, when its time is over; so is one whose condition
// somebody else has set, where there are no budgets at all.
func TestDisruptionsThatDoNotHappen(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("n0", nil)
		create(b, client.Deployments, deployment("default", "web", 2))
		b.await("rollout", time.Minute, b.rolledOut("default", "web"))
		pods := b.podsOf("default", running)
		p := pods[0].DeepCopy()
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "PreemptionByScheduler", LastTransitionTime: metav1.Now()})
		if _, err := client.UpdateStatus(b.Context(), b.door, client.Pods, p); err != nil {
			b.Fatal(err)
		}
		target := func() string {
			p, _ := b.pods.Get(p.Namespace, p.Name)
			for _, c := range p.Status.Conditions {
				if c.Type == corev1.DisruptionTarget {
					return fmt.Sprint(c.Status, c.Reason, c.ObservedGeneration == p.Generation)
				}
			}
			return ""
		}
		b.settle(119 * time.Second)
		if got := target(); got != "TruePreemptionByScheduler"+"false" {
			b.Error(got)
		}
		b.settle(3 * time.Second)
		if got := target(); got != "Falsetrue" {
			b.Error(got)
		}
		half := intstr.FromString("50%")
		create(b, client.PodDisruptionBudgets, budget("half", policyv1.PodDisruptionBudgetSpec{MinAvailable: &half}))
		b.settle(time.Second)
		pdb, err := client.Get[*policyv1.PodDisruptionBudget](b.Context(), b.door, client.PodDisruptionBudgets, "default", "half")
		if err != nil {
			b.Fatal(err)
		}
		pdb = pdb.DeepCopy() // as an eviction leaves it that dies before the deletion
		pdb.Status.DisruptionsAllowed--
		pdb.Status.DisruptedPods = map[string]metav1.Time{pods[1].Name: metav1.Now(), "gone": metav1.Now()}
		if _, err := client.UpdateStatus(b.Context(), b.door, client.PodDisruptionBudgets, pdb); err != nil {
			b.Fatal(err)
		}
		b.settle(time.Minute)
		if got := b.budgeted("half"); got != "2 1 1 0 1 InsufficientPods" {
			b.Error(got)
		}
		b.settle(62 * time.Second)
		if got := b.budgeted("half"); got != "2 2 1 1 0 SufficientPods" {
			b.Error(got)
		}
		b.hasEvent("default", "controllermanager Warning NotDeleted: Pod was expected by PDB default/default to be deleted but it wasn't")
	})
}
