package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// statefulSet is one in the namespace default.
func statefulSet(name string, replicas int32, change ...func(*appsv1.StatefulSet)) *appsv1.StatefulSet {
	d := deployment("default", name, replicas)
	s := &appsv1.StatefulSet{
		ObjectMeta: d.ObjectMeta,
		Spec:       appsv1.StatefulSetSpec{Replicas: &replicas, Selector: d.Spec.Selector, Template: d.Spec.Template, ServiceName: name},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func parallel(s *appsv1.StatefulSet) { s.Spec.PodManagementPolicy = appsv1.ParallelPodManagement }

// withClaim gives a set a claim template named data, whose claims go with the set, and with pods that are too many, if so asked.
func withClaim(deleted, scaled bool) func(*appsv1.StatefulSet) {
	policy := map[bool]appsv1.PersistentVolumeClaimRetentionPolicyType{
		true: appsv1.DeletePersistentVolumeClaimRetentionPolicyType, false: appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
	}
	return func(s *appsv1.StatefulSet) {
		s.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenDeleted: policy[deleted], WhenScaled: policy[scaled]}
		s.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{
			ObjectMeta: metav1.ObjectMeta{Name: "data"},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}},
			},
		}}
	}
}

func (b *bench) addSet(s *appsv1.StatefulSet) {
	b.Helper()
	if _, err := client.Create(b.Context(), b.door, client.StatefulSets, s); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) set(name string) *appsv1.StatefulSet {
	b.Helper()
	s, err := client.Get[*appsv1.StatefulSet](b.Context(), b.door, client.StatefulSets, "default", name)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// changeSet updates a set until no one is in the way.
func (b *bench) changeSet(name string, f func(*appsv1.StatefulSet)) {
	b.Helper()
	for {
		s := b.set(name).DeepCopy()
		f(s)
		_, err := client.Update(b.Context(), b.door, client.StatefulSets, s)
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			b.Fatal(err)
		}
	}
}

func image(name string) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Containers[0].Image = name }
}

func replicas(n int32) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) { s.Spec.Replicas = &n }
}

func (b *bench) setDone(name string) func() bool {
	return func() bool {
		s := b.set(name)
		n := *s.Spec.Replicas
		return s.Status.ObservedGeneration >= s.Generation && s.Status.Replicas == n && s.Status.AvailableReplicas == n &&
			s.Status.UpdatedReplicas == n && s.Status.CurrentRevision == s.Status.UpdateRevision
	}
}

func (b *bench) revisions() []*appsv1.ControllerRevision {
	b.Helper()
	l, err := client.ListAll[*appsv1.ControllerRevision](b.Context(), b.door, client.ControllerRevisions, "default", metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	slices.SortFunc(l, func(x, y *appsv1.ControllerRevision) int { return int(x.Revision - y.Revision) })
	return l
}

func podNames(pods []*corev1.Pod) string {
	var out []string
	for _, p := range pods {
		out = append(out, p.Name)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// An ordered set is made one pod after the other, rolled from the last to the first, rolled back to its old revision and scaled
// down from the end.
func TestStatefulSet(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("n0", nil)
		b.addNode("n1", nil)
		var order []string
		b.watchPods(func(p *corev1.Pod, gone bool) {
			if gone {
				order = append(order, "-"+p.Name)
			} else {
				order = append(order, "+"+p.Name)
			}
		})
		b.settle(time.Second)
		b.addSet(statefulSet("web", 3, withClaim(false, false)))
		b.await("set", time.Minute, b.setDone("web"))
		b.settle(time.Second)
		if got := strings.Join(order, " "); got != "+web-0 +web-1 +web-2" {
			b.Errorf("made in the order %s", got)
		}
		first := b.set("web").Status
		p, _ := b.pods.Get("default", "web-1")
		if p.Labels["statefulset.kubernetes.io/pod-name"] != "web-1" || p.Labels["apps.kubernetes.io/pod-index"] != "1" ||
			p.Labels["controller-revision-hash"] != first.CurrentRevision || p.Spec.Hostname != "web-1" || p.Spec.Subdomain != "web" ||
			p.Spec.Volumes[0].PersistentVolumeClaim.ClaimName != "data-web-1" || p.GenerateName != "web-" {
			b.Errorf("pod %+v", p)
		}
		b.hasEvent("default", "statefulset-controller Normal SuccessfulCreate: Create Claim data-web-2 Pod web-2 in StatefulSet web success")
		b.hasEvent("default", "statefulset-controller Normal SuccessfulCreate: Create Pod web-2 in StatefulSet web successful")

		order = nil
		b.changeSet("web", image("busybox:2"))
		b.await("rollout", time.Minute, b.setDone("web"))
		b.settle(time.Second)
		if got := strings.Join(order, " "); got != "-web-2 +web-2 -web-1 +web-1 -web-0 +web-0" {
			b.Errorf("rolled in the order %s", got)
		}
		if s := b.set("web").Status; s.CurrentRevision == first.CurrentRevision || s.CurrentReplicas != 3 {
			b.Errorf("status %+v", s)
		}
		b.changeSet("web", image("busybox:1"))
		b.await("rollback", time.Minute, b.setDone("web"))
		if s, r := b.set("web").Status, b.revisions(); s.CurrentRevision != first.CurrentRevision || len(r) != 2 || r[1].Name != first.CurrentRevision || r[1].Revision != 3 {
			b.Errorf("status %+v, revisions %v", s, r)
		}
		order = nil
		b.changeSet("web", replicas(1))
		b.await("scaling down", time.Minute, b.setDone("web"))
		b.settle(time.Second)
		if got := strings.Join(order, " "); got != "-web-2 -web-1" {
			b.Errorf("scaled down in the order %s", got)
		}
		b.hasEvent("default", "statefulset-controller Normal SuccessfulDelete: Delete Pod web-2 in StatefulSet web successful")
		if l, err := client.ListAll[*corev1.PersistentVolumeClaim](b.Context(), b.door, client.PersistentVolumeClaims, "default", metav1.ListOptions{}); err != nil || len(l) != 3 {
			b.Errorf("%d claims, %v", len(l), err)
		}
		for _, e := range b.events("default") {
			if strings.Contains(e, "Warning") {
				b.Error(e)
			}
		}
	})
}

// Claims go with the pods that a set is scaled down by, and with the set, as its policy says.
func TestStatefulSetClaims(t *testing.T) {
	for _, c := range []struct {
		deleted, scaled    bool
		afterScale, atLast int
	}{{false, false, 3, 3}, {true, false, 3, 0}, {false, true, 1, 1}, {true, true, 1, 0}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			inBubble(t, control.Config{}, func(b *bench) {
				b.addNode("n0", nil)
				claims := func() int {
					l, err := client.ListAll[*corev1.PersistentVolumeClaim](b.Context(), b.door, client.PersistentVolumeClaims, "default", metav1.ListOptions{})
					if err != nil {
						b.Fatal(err)
					}
					return len(l)
				}
				b.addSet(statefulSet("web", 3, withClaim(c.deleted, c.scaled)))
				b.await("set", time.Minute, b.setDone("web"))
				b.changeSet("web", replicas(1))
				b.await("scaling down", time.Minute, b.setDone("web"))
				b.settle(time.Minute)
				if n := claims(); n != c.afterScale {
					b.Errorf("%d claims after scaling down, want %d", n, c.afterScale)
				}
				b.changeSet("web", replicas(3))
				b.await("scaling up", time.Minute, b.setDone("web"))
				b.settle(time.Minute)
				if n := claims(); n != 3 {
					b.Errorf("%d claims after scaling up", n)
				}
				b.changeSet("web", replicas(1))
				b.await("scaling down again", time.Minute, b.setDone("web"))
				b.settle(time.Minute)
				if err := client.Delete(b.Context(), b.door, client.StatefulSets, "default", "web", ""); err != nil {
					b.Fatal(err)
				}
				b.settle(time.Minute)
				if n, pods := claims(), b.podsOf("default", nil); n != c.atLast || len(pods) > 0 {
					b.Errorf("%d claims are left, want %d; pods %s", n, c.atLast, podNames(pods))
				}
			})
		})
	}
}

// Of a parallel set all pods are made at once, and none twice.
func TestStatefulSetParallel(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("n0", nil)
		b.addSet(statefulSet("web", 40, parallel))
		b.await("set", time.Minute, b.setDone("web"))
		b.changeSet("web", image("busybox:2"))
		b.await("rollout", 10*time.Minute, b.setDone("web"))
		b.changeSet("web", replicas(0))
		b.await("scaling down", time.Minute, b.setDone("web"))
		b.settle(time.Second)
		if n := b.createdPods(); n != 80 {
			b.Errorf("%d pods were made", n)
		}
	})
}

// Pods that have ended, however, are replaced; a set adopts what is named after it and lets go of what is relabelled.
func TestStatefulSetReplacesAdoptsAndReleases(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("n0", nil)
		b.addSet(statefulSet("web", 2))
		b.await("set", time.Minute, b.setDone("web"))
		for _, phase := range []corev1.PodPhase{corev1.PodFailed, corev1.PodSucceeded} {
			p, _ := b.pods.Get("default", "web-0")
			ended := p.DeepCopy()
			ended.Status.Phase = phase
			ended.Status.Conditions = nil
			if _, err := client.UpdateStatus(b.Context(), b.door, client.Pods, ended); err != nil {
				b.Fatal(err)
			}
			b.await("another", time.Minute, func() bool {
				now, ok := b.pods.Get("default", "web-0")
				return ok && now.UID != p.UID && running(now)
			})
		}
		b.await("well", time.Minute, b.setDone("web"))
		ref := client.Ref{Resource: client.Pods, Namespace: "default", Name: "web-1"}
		relabel := func(app string) {
			if _, err := client.MergePatch(b.Context(), b.door, ref, map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": app}}}); err != nil {
				b.Fatal(err)
			}
			b.settle(5 * time.Second)
		}
		owner := func() *metav1.OwnerReference {
			p, _ := b.pods.Get("default", "web-1")
			return metav1.GetControllerOf(p)
		}
		relabel("other")
		if owner() != nil {
			b.Error("not released")
		}
		relabel("web")
		if o := owner(); o == nil || o.Name != "web" {
			b.Errorf("not adopted: %v", o)
		}
		b.await("well again", time.Minute, b.setDone("web"))
	})
}
