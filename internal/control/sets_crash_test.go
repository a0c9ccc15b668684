package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/client"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// outcome is all that a workload has left, without what is another in each run.
func (b *bench) outcome() string {
	b.Helper()
	var out []string
	for _, p := range b.podsOf("default", nil) {
		name := p.Name
		if p.GenerateName == "agent-" {
			name = "agent on " + p.Spec.NodeName
		}
		out = append(out, fmt.Sprint("pod ", name, " ", p.Status.Phase, p.DeletionTimestamp != nil, p.Labels))
	}
	for _, r := range b.revisions() {
		out = append(out, fmt.Sprint("revision ", r.Name, " ", r.Revision, r.Labels, len(r.OwnerReferences)))
	}
	claims, err := client.ListAll[*corev1.PersistentVolumeClaim](b.Context(), b.door, client.PersistentVolumeClaims, "default", metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range claims {
		owners := ""
		for _, o := range c.OwnerReferences {
			owners += " " + o.Kind + "/" + o.Name
		}
		out = append(out, fmt.Sprint("claim ", c.Name, c.Labels, owners))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// setCrashes runs the controller of a kind of sets through crashes.
func setCrashes(t *testing.T, account string, workload func(b *bench) (status any)) {
	crashes(t, account, []string{"*", "-node-lifecycle-controller"}, []string{"n0", "n1"}, func(b *bench) string {
		status := workload(b)
		b.settle(time.Minute)
		return fmt.Sprintf("%s\nstatus %+v, %d pods made", b.outcome(), status, b.createdPods())
	})
}

func TestStatefulSetCrashes(t *testing.T) {
	setCrashes(t, "statefulset-controller", func(b *bench) any {
		b.addSet(statefulSet("web", 2, withClaim(true, true), func(s *appsv1.StatefulSet) { s.Spec.RevisionHistoryLimit = new(int32) }))
		b.await("set", time.Hour, b.setDone("web"))
		b.changeSet("web", image("busybox:2"))
		b.await("rollout", time.Hour, b.setDone("web"))
		b.changeSet("web", replicas(1))
		b.await("scaling down", time.Hour, b.setDone("web"))
		return b.set("web").Status.ReadyReplicas
	})
}

func TestDaemonSetCrashes(t *testing.T) {
	setCrashes(t, "daemon-set-controller", func(b *bench) any {
		b.addDaemons(daemonSet("agent", func(ds *appsv1.DaemonSet) { ds.Spec.RevisionHistoryLimit = new(int32) }))
		b.await("daemons", time.Hour, b.daemonsOn("agent", 2))
		b.changeDaemons("agent", func(ds *appsv1.DaemonSet) { ds.Spec.Template.Spec.Containers[0].Image = "busybox:2" })
		b.await("rollout", time.Hour, b.daemonsOn("agent", 2))
		if err := client.Delete(b.Context(), b.door, client.Nodes, "", "n1", ""); err != nil {
			b.Fatal(err)
		}
		b.await("one fewer", time.Hour, b.daemonsOn("agent", 1))
		s := b.daemons("agent").Status
		s.ObservedGeneration = 0
		return s
	})
}
