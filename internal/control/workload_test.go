package control_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func deployment(namespace, name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "c", Image: "busybox:1", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
				}}},
			},
		},
	}
}

func (b *bench) deployed(namespace, name string) *appsv1.Deployment {
	b.Helper()
	d, err := client.Get[*appsv1.Deployment](b.Context(), b.door, client.Deployments, namespace, name)
	if err != nil {
		b.Fatal(err)
	}
	return d
}

// change updates a deployment until no one is in the way.
func (b *bench) change(namespace, name string, f func(d *appsv1.Deployment)) {
	b.Helper()
	for {
		d := b.deployed(namespace, name).DeepCopy()
		f(d)
		_, err := client.Update(b.Context(), b.door, client.Deployments, d)
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			b.Fatal(err)
		}
	}
}

func (b *bench) rolledOut(namespace, name string) func() bool {
	return func() bool {
		d := b.deployed(namespace, name)
		s := d.Status
		return s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == *d.Spec.Replicas && s.Replicas == *d.Spec.Replicas &&
			s.AvailableReplicas == *d.Spec.Replicas
	}
}

func TestRollout(t *testing.T) {
	inBubble(t, control.Config{NodeIPAM: ipam}, func(b *bench) {
		for i := range 3 {
			b.addNode(fmt.Sprint("n", i), nil)
		}
		ctx := b.Context()
		if _, err := client.Create(ctx, b.door, client.Services, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", Labels: map[string]string{"team": "a"}},
			Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"},
				Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}}},
		}); err != nil {
			b.Fatal(err)
		}
		if _, err := client.Create(ctx, b.door, client.Deployments, deployment("default", "web", 20)); err != nil {
			b.Fatal(err)
		}
		b.await("rollout", time.Minute, b.rolledOut("default", "web"))
		if n := b.createdPods(); n != 20 {
			b.Errorf("%d pods were created for 20 replicas", n)
		}
		b.settle(time.Second)
		b.checkService(20)

		b.change("default", "web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "busybox:2" })
		b.await("second rollout", time.Minute, b.rolledOut("default", "web"))
		if n := b.createdPods(); n != 40 {
			b.Errorf("%d pods were created for two revisions of 20", n)
		}
		b.change("default", "web", func(d *appsv1.Deployment) { *d.Spec.Replicas = 5 })
		b.await("scaling down", time.Minute, b.rolledOut("default", "web"))
		b.settle(time.Second)
		b.checkService(5)
		if n := len(b.podsOf("default", running)); n != 5 {
			b.Errorf("%d pods run", n)
		}
		d := b.deployed("default", "web")
		if d.Annotations["deployment.kubernetes.io/revision"] != "2" {
			b.Errorf("annotations %v", d.Annotations)
		}
		b.hasEvent("default", "deployment-controller Normal ScalingReplicaSet: Scaled up replica set web-")
		b.hasEvent("default", "Scaled down replica set web-")
		b.hasEvent("default", "replicaset-controller Normal SuccessfulCreate: Created pod: web-")
		b.hasEvent("default", "replicaset-controller Normal SuccessfulDelete: ")
		for _, e := range b.events("default") {
			if strings.Contains(e, "Warning") {
				b.Error(e)
			}
		}
	})
}

// checkService checks that Endpoints and EndpointSlices of the service web lead to n pods.
func (b *bench) checkService(n int) {
	b.Helper()
	ctx := b.Context()
	slices, err := client.ListAll[*discoveryv1.EndpointSlice](ctx, b.door, client.EndpointSlices, "default", metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=web"})
	if err != nil || len(slices) != 1 {
		b.Fatalf("%d slices, %v", len(slices), err)
	}
	s := slices[0]
	if len(s.Endpoints) != n || *s.Ports[0].Port != 8080 || *s.Ports[0].Name != "http" || s.Labels["team"] != "a" ||
		s.Labels[discoveryv1.LabelManagedBy] != "endpointslice-controller.k8s.io" || s.AddressType != discoveryv1.AddressTypeIPv4 {
		b.Errorf("slice %+v", s)
	}
	for _, e := range s.Endpoints {
		if !*e.Conditions.Ready || !*e.Conditions.Serving || *e.Conditions.Terminating || e.NodeName == nil || e.TargetRef.Kind != "Pod" {
			b.Errorf("endpoint %+v", e)
		}
	}
	e, err := client.Get[*corev1.Endpoints](ctx, b.door, client.EndpointsResource, "default", "web")
	if err != nil || len(e.Subsets) != 1 || len(e.Subsets[0].Addresses) != n || e.Labels["endpoints.kubernetes.io/managed-by"] != "endpoint-controller" {
		b.Errorf("endpoints %+v, %v", e, err)
	}
}

func TestReplicaSetAdoptsAndReleases(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("n0", nil)
		ctx := b.Context()
		d := deployment("default", "rs", 3)
		alone := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "alone", Labels: map[string]string{"app": "rs"}}, Spec: d.Spec.Template.Spec}
		if _, err := client.Create(ctx, b.door, client.Pods, alone); err != nil {
			b.Fatal(err)
		}
		b.settle(time.Second) // the controller's views of pods and of sets are not one
		rs, err := client.Create(ctx, b.door, client.ReplicaSets, &appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "rs"},
			Spec:       appsv1.ReplicaSetSpec{Replicas: d.Spec.Replicas, Selector: d.Spec.Selector, Template: d.Spec.Template},
		})
		if err != nil {
			b.Fatal(err)
		}
		owned := func(p *corev1.Pod) bool { return running(p) && metav1.IsControlledBy(p, rs) }
		b.await("three pods", time.Minute, func() bool { return len(b.podsOf("default", owned)) == 3 })
		b.settle(time.Second)
		if b.createdPods() != 3 {
			b.Errorf("%d pods: the lone one was not adopted", b.createdPods())
		}
		ref := client.Ref{Resource: client.Pods, Namespace: "default", Name: "alone"}
		if _, err := client.MergePatch(ctx, b.door, ref, map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "other"}}}); err != nil {
			b.Fatal(err)
		}
		b.settle(5 * time.Second)
		if n := len(b.podsOf("default", owned)); n != 3 || b.createdPods() != 4 {
			b.Errorf("%d owned pods, %d created", n, b.createdPods())
		}
		p, _ := b.pods.Get("default", "alone")
		if metav1.GetControllerOf(p) != nil {
			b.Error("not released")
		}
	})
}

func TestReplicationController(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("n0", nil)
		three := int32(3)
		rc := &corev1.ReplicationController{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "rc"},
			Spec:       corev1.ReplicationControllerSpec{Replicas: &three, Selector: map[string]string{"app": "rc"}, Template: &deployment("default", "rc", 3).Spec.Template},
		}
		if _, err := client.Create(b.Context(), b.door, client.ReplicationControllers, rc); err != nil {
			b.Fatal(err)
		}
		b.await("three pods", time.Minute, func() bool {
			got, err := client.Get[*corev1.ReplicationController](b.Context(), b.door, client.ReplicationControllers, "default", "rc")
			if err != nil {
				b.Fatal(err)
			}
			return got.Status.AvailableReplicas == 3
		})
		b.settle(time.Second)
		if b.createdPods() != 3 {
			b.Errorf("%d pods created", b.createdPods())
		}
		b.hasEvent("default", "replication-controller Normal SuccessfulCreate: Created pod: rc-")
	})
}

func TestDeletionPolicies(t *testing.T) {
	for _, tc := range []struct {
		policy metav1.DeletionPropagation
		left   int
	}{{metav1.DeletePropagationBackground, 0}, {metav1.DeletePropagationForeground, 0}, {metav1.DeletePropagationOrphan, 3}} {
		t.Run(string(tc.policy), func(t *testing.T) {
			inBubble(t, control.Config{}, func(b *bench) {
				b.addNode("n0", nil)
				ctx := b.Context()
				if _, err := client.Create(ctx, b.door, client.Deployments, deployment("default", "web", 3)); err != nil {
					b.Fatal(err)
				}
				b.await("rollout", time.Minute, b.rolledOut("default", "web"))
				b.settle(time.Second)
				ref := client.Ref{Resource: client.Deployments, Namespace: "default", Name: "web"}
				if err := b.door.Delete(ctx, ref, metav1.DeleteOptions{PropagationPolicy: &tc.policy}); err != nil {
					b.Fatal(err)
				}
				b.await("deployment gone", time.Minute, func() bool {
					_, err := b.door.Get(ctx, ref, metav1.GetOptions{})
					if gone := apierrors.IsNotFound(err); gone && tc.policy == metav1.DeletePropagationForeground && len(b.podsOf("default", nil)) > 0 {
						b.Fatal("the owner went before its dependents")
					} else {
						return gone
					}
					return false
				})
				b.settle(5 * time.Second)
				sets, err := client.ListAll[*appsv1.ReplicaSet](ctx, b.door, client.ReplicaSets, "default", metav1.ListOptions{})
				if err != nil {
					b.Fatal(err)
				}
				if n := len(b.podsOf("default", nil)); n != tc.left || len(sets) != min(1, tc.left) {
					b.Errorf("%d pods and %d sets are left", n, len(sets))
				}
				if tc.left > 0 && len(sets) > 0 && len(sets[0].OwnerReferences) != 0 {
					b.Errorf("the set still has an owner: %v", sets[0].OwnerReferences)
				}
			})
		})
	}
}

func TestNamespaceDeletion(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("n0", nil)
		ctx := b.Context()
		if _, err := client.Create(ctx, b.door, client.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "doomed"}}); err != nil {
			b.Fatal(err)
		}
		for i := range 3 {
			if _, err := client.Create(ctx, b.door, client.Deployments, deployment("doomed", fmt.Sprint("web", i), 3)); err != nil {
				b.Fatal(err)
			}
			if _, err := client.Create(ctx, b.door, client.ConfigMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "doomed", Name: fmt.Sprint("c", i)}}); err != nil {
				b.Fatal(err)
			}
		}
		held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "doomed", Name: "held", Finalizers: []string{"example.com/hold"}}}
		if _, err := client.Create(ctx, b.door, client.ConfigMaps, held); err != nil {
			b.Fatal(err)
		}
		b.await("pods", time.Minute, func() bool { return len(b.podsOf("doomed", running)) == 9 })
		if err := client.Delete(ctx, b.door, client.Namespaces, "", "doomed", ""); err != nil {
			b.Fatal(err)
		}
		b.settle(time.Minute)
		ns, err := client.Get[*corev1.Namespace](ctx, b.door, client.Namespaces, "", "doomed")
		if err != nil {
			b.Fatal(err)
		}
		var texts []string
		for _, c := range ns.Status.Conditions {
			texts = append(texts, fmt.Sprintf("%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message))
		}
		got := strings.Join(texts, "\n")
		for _, want := range []string{
			"NamespaceContentRemaining=True SomeResourcesRemain: Some resources are remaining: configmaps. has 1 resource instances",
			"NamespaceFinalizersRemaining=True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
			"NamespaceDeletionContentFailure=False ContentDeleted: All content successfully deleted, may be waiting on finalization",
		} {
			if !strings.Contains(got, want) {
				b.Errorf("conditions:\n%s\nwant %s", got, want)
			}
		}
		ref := client.Ref{Resource: client.ConfigMaps, Namespace: "doomed", Name: "held"}
		if _, err := client.MergePatch(ctx, b.door, ref, map[string]any{"metadata": map[string]any{"finalizers": nil}}); err != nil {
			b.Fatal(err)
		}
		b.await("namespace gone", 20*time.Second, func() bool {
			_, err := client.Get[*corev1.Namespace](ctx, b.door, client.Namespaces, "", "doomed")
			return apierrors.IsNotFound(err)
		})
	})
}

// An object whose owner never was goes; one whose owner is in another namespace goes; a lone one stays.
func TestAbsentOwners(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		ctx := b.Context()
		mk := func(ns, name string, owners ...metav1.OwnerReference) *corev1.ConfigMap {
			c, err := client.Create(ctx, b.door, client.ConfigMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, OwnerReferences: owners}})
			if err != nil {
				b.Fatal(err)
			}
			return c
		}
		b.settle(time.Second)
		owner := mk("default", "owner")
		ref := metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "owner", UID: owner.UID}
		mk("default", "kept", ref)
		mk("default", "lost", metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "nobody", UID: "1234"})
		mk("kube-public", "abroad", ref)
		mk("default", "half", ref, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "nobody", UID: "1234"})
		b.settle(10 * time.Second)
		for name, want := range map[string]bool{"default/owner": true, "default/kept": true, "default/lost": false, "kube-public/abroad": false, "default/half": true} {
			ns, n, _ := strings.Cut(name, "/")
			c, err := client.Get[*corev1.ConfigMap](ctx, b.door, client.ConfigMaps, ns, n)
			if (err == nil) != want {
				b.Errorf("%s: %v", name, err)
			}
			if n == "half" && err == nil && len(c.OwnerReferences) != 1 {
				b.Errorf("half has %v", c.OwnerReferences)
			}
		}
	})
}
