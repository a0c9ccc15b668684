package control_test

import (
	"slices"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A claim goes when no pod on a node has it, a volume when it is not bound, a class of attributes when nothing names it; and
// a namespace with a claim goes. The test itself is the binder.
func TestProtection(t *testing.T) {
	inBubble(t, control.Config{Controllers: []string{"*", "-persistentvolume-binder-controller"}}, func(b *bench) {
		ctx := b.Context()
		b.addNode("n0", nil)
		capacity := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
		claim := func(namespace, name string, class *string) *corev1.PersistentVolumeClaim {
			return &corev1.PersistentVolumeClaim{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
				Spec: corev1.PersistentVolumeClaimSpec{
					AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, VolumeAttributesClassName: class,
					Resources: corev1.VolumeResourceRequirements{Requests: capacity},
				},
			}
		}
		create(b, client.VolumeAttributesClasses, &storagev1.VolumeAttributesClass{
			ObjectMeta: metav1.ObjectMeta{Name: "gold"}, DriverName: "csi.example.com", Parameters: map[string]string{"iops": "1"},
		})
		create(b, client.PersistentVolumeClaims, claim("default", "data", new("gold")))
		create(b, client.PersistentVolumes, &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: "pv"},
			Spec: corev1.PersistentVolumeSpec{
				Capacity: capacity, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}},
			},
		})
		pv, err := client.Get[*corev1.PersistentVolume](ctx, b.door, client.PersistentVolumes, "", "pv")
		if err != nil {
			b.Fatal(err)
		}
		pv = pv.DeepCopy() // what a client in the process gets is frozen
		pv.Status.Phase = corev1.VolumeBound
		if _, err := client.UpdateStatus(ctx, b.door, client.PersistentVolumes, pv); err != nil {
			b.Fatal(err)
		}
		create(b, client.Pods, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "user"},
			Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "c", Image: "i"}},
				Volumes: []corev1.Volume{{Name: "d", VolumeSource: corev1.VolumeSource{
					PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
				}}},
			},
		})
		b.await("a pod", time.Minute, func() bool { return len(b.podsOf("default", running)) == 1 })
		for _, o := range []struct {
			resource        schema.GroupVersionResource
			namespace, name string
		}{{client.PersistentVolumeClaims, "default", "data"}, {client.PersistentVolumes, "", "pv"}, {client.VolumeAttributesClasses, "", "gold"}} {
			if err := client.Delete(ctx, b.door, o.resource, o.namespace, o.name, ""); err != nil {
				b.Fatal(err)
			}
		}
		b.settle(time.Minute)
		if b.gone(client.PersistentVolumeClaims, "default", "data") || b.gone(client.PersistentVolumes, "", "pv") || b.gone(client.VolumeAttributesClasses, "", "gold") {
			b.Fatal("gone while in use")
		}
		if err := client.Delete(ctx, b.door, client.Pods, "default", "user", ""); err != nil {
			b.Fatal(err)
		}
		b.await("the claim and the class gone", time.Minute, func() bool {
			return b.gone(client.PersistentVolumeClaims, "default", "data") && b.gone(client.VolumeAttributesClasses, "", "gold")
		})
		if pv, err = client.Get[*corev1.PersistentVolume](ctx, b.door, client.PersistentVolumes, "", "pv"); err != nil {
			b.Fatal(err)
		}
		pv = pv.DeepCopy()
		pv.Status.Phase = corev1.VolumeReleased
		if _, err := client.UpdateStatus(ctx, b.door, client.PersistentVolumes, pv); err != nil {
			b.Fatal(err)
		}
		b.await("the volume gone", time.Minute, func() bool { return b.gone(client.PersistentVolumes, "", "pv") })

		create(b, client.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "doomed"}})
		create(b, client.PersistentVolumeClaims, claim("doomed", "idle", nil))
		if err := client.Delete(ctx, b.door, client.Namespaces, "", "doomed", ""); err != nil {
			b.Fatal(err)
		}
		b.await("the namespace gone", time.Minute, func() bool { return b.gone(client.Namespaces, "", "doomed") })

		// What was made without the finalizer gets it.
		create(b, client.PersistentVolumeClaims, claim("default", "bare", nil))
		if _, err := client.MergePatch(ctx, b.door, client.Ref{Resource: client.PersistentVolumeClaims, Namespace: "default", Name: "bare"},
			map[string]any{"metadata": map[string]any{"finalizers": nil}}); err != nil {
			b.Fatal(err)
		}
		b.await("the finalizer again", time.Minute, func() bool {
			pvc, err := client.Get[*corev1.PersistentVolumeClaim](ctx, b.door, client.PersistentVolumeClaims, "default", "bare")
			return err == nil && slices.Contains(pvc.Finalizers, "kubernetes.io/pvc-protection")
		})
	})
}

func create[T api.Object](b *bench, resource schema.GroupVersionResource, obj T) {
	b.Helper()
	if _, err := client.Create(b.Context(), b.door, resource, obj); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) gone(resource schema.GroupVersionResource, namespace, name string) bool {
	_, err := b.door.Get(b.Context(), client.Ref{Resource: resource, Namespace: namespace, Name: name}, metav1.GetOptions{})
	return apierrors.IsNotFound(err)
}

// TestUnusedClaims: a bound claim tells whether a pod that has not ended refers to it, and is written when that changes and at no
// other time.
func TestUnusedClaims(t *testing.T) {
	d := &doom{account: "pvc-protection-controller", at: -1}
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("n0", nil)
		b.addVolume(newVolume("pv", "1Gi", none))
		for _, name := range []string{"data", "unbound"} {
			b.addClaim(newClaim(name, "1Gi", new(none)))
			b.settle(30 * time.Second)
		}
		is := func(name, want string) {
			b.Helper()
			b.settle(time.Minute)
			got := ""
			for _, c := range b.claim(name).Status.Conditions {
				got += string(c.Type) + "=" + string(c.Status) + " " + c.Reason
			}
			if got != want {
				b.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		is("data", "Unused=True NoPodsUsingPVC")
		is("unbound", "")
		create(b, client.Pods, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "user"},
			Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "c", Image: "i"}},
				Volumes:    []corev1.Volume{{Name: "d", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}},
			},
		})
		is("data", "Unused=False PodUsingPVC")
		b.succeed("user")
		is("data", "Unused=True NoPodsUsingPVC")
		if err := client.Delete(b.Context(), b.door, client.Pods, "default", "user", ""); err != nil {
			b.Fatal(err)
		}
		is("data", "Unused=True NoPodsUsingPVC")
	}, d.doors)
	if w := d.counts(); w["update persistentvolumeclaims/status"] != 3 {
		t.Errorf("%v", w)
	}
}
