package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func storageOf(size string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}
}

func newVolume(name, size, class string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
		Capacity: storageOf(size), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: class,
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/srv/" + name}},
	}}
}

func newClaim(name, size string, class *string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.PersistentVolumeClaimSpec{
		Resources: corev1.VolumeResourceRequirements{Requests: storageOf(size)}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: class,
	}}
}

func newClass(name, provisioner string, mode storagev1.VolumeBindingMode) *storagev1.StorageClass {
	return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: &mode}
}

func (b *bench) addVolume(pv *corev1.PersistentVolume) {
	b.Helper()
	create(b, client.PersistentVolumes, pv)
}
func (b *bench) addClaim(c *corev1.PersistentVolumeClaim) {
	b.Helper()
	create(b, client.PersistentVolumeClaims, c)
}
func (b *bench) addClass(c *storagev1.StorageClass) { b.Helper(); create(b, client.StorageClasses, c) }

func (b *bench) claim(name string) *corev1.PersistentVolumeClaim {
	b.Helper()
	c, err := client.Get[*corev1.PersistentVolumeClaim](b.Context(), b.door, client.PersistentVolumeClaims, "default", name)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func (b *bench) volume(name string) *corev1.PersistentVolume {
	b.Helper()
	pv, err := client.Get[*corev1.PersistentVolume](b.Context(), b.door, client.PersistentVolumes, "", name)
	if err != nil {
		b.Fatal(err)
	}
	return pv
}

// seen says how claims and volumes are, in one line each.
func (b *bench) seen() string {
	b.Helper()
	var out []string
	claims, err := client.ListAll[*corev1.PersistentVolumeClaim](b.Context(), b.door, client.PersistentVolumeClaims, "", metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range claims {
		size := c.Status.Capacity[corev1.ResourceStorage]
		out = append(out, fmt.Sprintf("%s %s %s %s", c.Name, c.Status.Phase, c.Spec.VolumeName, size.String()))
	}
	pvs, err := client.ListAll[*corev1.PersistentVolume](b.Context(), b.door, client.PersistentVolumes, "", metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for _, pv := range pvs {
		name := ""
		if pv.Spec.ClaimRef != nil {
			name = pv.Spec.ClaimRef.Name
		}
		out = append(out, fmt.Sprintf("%s %s %s", pv.Name, pv.Status.Phase, name))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func (b *bench) want(want string) {
	b.Helper()
	b.settle(time.Second)
	if got := b.seen(); got != want {
		b.Errorf("%s\nwant %s", got, want)
	}
}

func (b *bench) wantEvent(want string) {
	b.Helper()
	if got := b.events("default"); !slices.Contains(got, want) {
		b.Errorf("no event %q in %q", want, got)
	}
}

func (b *bench) changeClaim(name string, f func(*corev1.PersistentVolumeClaim)) {
	b.Helper()
	c := b.claim(name).DeepCopy()
	f(c)
	if _, err := client.Update(b.Context(), b.door, client.PersistentVolumeClaims, c); err != nil {
		b.Fatal(err)
	}
}

const none = ""

func TestStaticBinding(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addClaim(newClaim("early", "2Gi", new(none)))
		b.want("early Pending  0")
		b.wantEvent("persistentvolume-controller Normal FailedBinding: no persistent volumes available for this claim and no storage class is set")
		b.addVolume(newVolume("large", "9Gi", none))
		b.want("early Bound large 9Gi; large Bound early")
		b.addVolume(newVolume("small", "1Gi", none))
		b.addVolume(newVolume("medium", "5Gi", none))
		b.settle(time.Second)
		b.addClaim(newClaim("late", "1Gi", new(none)))
		b.addClaim(newClaim("later", "1Gi", new(none)))
		b.addClaim(newClaim("last", "1Gi", new(none)))
		b.settle(time.Second)
		if c := b.claim("early"); c.Annotations[volumes.BindCompleted] != "yes" || c.Annotations[volumes.BoundByController] != "yes" {
			b.Errorf("annotations %v", c.Annotations)
		}
		if pv := b.volume("large"); pv.Annotations[volumes.BoundByController] != "yes" || pv.Spec.ClaimRef.UID != b.claim("early").UID {
			b.Errorf("annotations %v, %+v", pv.Annotations, pv.Spec.ClaimRef)
		}
		bound := 0
		for _, name := range []string{"late", "later", "last"} {
			if b.claim(name).Status.Phase == corev1.ClaimBound {
				bound++
			}
		}
		if bound != 2 {
			b.Errorf("%d of three claims got one of two volumes: %s", bound, b.seen())
		}
	})
}

func TestBindingByName(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		asked := newClaim("asked", "1Gi", new(none))
		asked.Spec.VolumeName = "v"
		b.addClaim(asked)
		b.want("asked Pending v 0")
		b.addVolume(newVolume("v", "4Gi", none))
		b.want("asked Bound v 4Gi; v Bound asked")
		if _, ok := b.claim("asked").Annotations[volumes.BoundByController]; ok {
			b.Error("a claim that names its volume is marked as bound by the controller")
		}

		kept := newVolume("kept", "4Gi", none)
		kept.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: "owner"}
		b.addVolume(kept)
		b.addClaim(newClaim("other", "1Gi", new(none)))
		b.want("asked Bound v 4Gi; kept Available owner; other Pending  0; v Bound asked")
		b.addClaim(newClaim("owner", "1Gi", new(none)))
		b.want("asked Bound v 4Gi; kept Bound owner; other Pending  0; owner Bound kept 4Gi; v Bound asked")

		second := newClaim("second", "1Gi", new(none))
		second.Spec.VolumeName = "v"
		b.addClaim(second)
		small := newClaim("small", "9Gi", new(none))
		small.Spec.VolumeName = "tiny"
		b.addVolume(newVolume("tiny", "1Mi", none))
		b.addClaim(small)
		b.settle(time.Second)
		b.wantEvent(`persistentvolume-controller Warning FailedBinding: volume "v" already bound to a different claim.`)
		b.wantEvent(`persistentvolume-controller Warning VolumeMismatch: Cannot bind to requested volume "tiny": requested PV is too small`)
	})
}

func TestDefaultClassComesLater(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addClaim(newClaim("c", "1Gi", nil))
		b.want("c Pending  0")
		class := newClass("late", "example.com/made", storagev1.VolumeBindingImmediate)
		class.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
		b.addClass(class)
		b.settle(time.Second)
		c := b.claim("c")
		if c.Spec.StorageClassName == nil || *c.Spec.StorageClassName != "late" {
			b.Fatalf("class %v", c.Spec.StorageClassName)
		}
		if c.Annotations[volumes.Provisioner] != "example.com/made" || c.Annotations[volumes.BetaProvisioner] != "example.com/made" {
			b.Errorf("not handed over: %v", c.Annotations)
		}
		b.wantEvent("persistentvolume-controller Normal ExternalProvisioning: Waiting for a volume to be created either by the external provisioner 'example.com/made' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.")
		// The provisioner makes a volume that names the claim.
		pv := newVolume("made", "1Gi", "late")
		pv.Spec.ClaimRef = volumes.Reference(c)
		pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
		pv.Annotations = map[string]string{volumes.ProvisionedBy: "example.com/made"}
		b.addVolume(pv)
		b.want("c Bound made 1Gi; made Bound c")
		if err := client.Delete(b.Context(), b.door, client.PersistentVolumeClaims, "default", "c", ""); err != nil {
			b.Fatal(err)
		}
		b.want("made Released c") // for the provisioner to delete
	})
}

func TestWaitForFirstConsumer(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addClass(newClass("slow", "example.com/made", storagev1.VolumeBindingWaitForFirstConsumer))
		b.addVolume(newVolume("v", "1Gi", "slow"))
		b.addClaim(newClaim("c", "1Gi", new("slow")))
		b.want("c Pending  0; v Available ")
		b.wantEvent("persistentvolume-controller Normal WaitForFirstConsumer: waiting for first consumer to be created before binding")
		create(b, client.Pods, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "c", Image: "i"}},
			Volumes:    []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}}},
		}})
		b.settle(time.Second)
		b.wantEvent("persistentvolume-controller Normal WaitForPodScheduled: waiting for pod p to be scheduled")
		b.changeClaim("c", func(c *corev1.PersistentVolumeClaim) {
			metav1.SetMetaDataAnnotation(&c.ObjectMeta, volumes.SelectedNode, "n")
		})
		b.settle(time.Second)
		if b.claim("c").Annotations[volumes.Provisioner] != "example.com/made" {
			b.Error("not handed over when a node was chosen")
		}
	})
}

func TestReclaim(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		for _, policy := range []corev1.PersistentVolumeReclaimPolicy{corev1.PersistentVolumeReclaimRetain, corev1.PersistentVolumeReclaimDelete} {
			name := strings.ToLower(string(policy))
			pv := newVolume(name, "1Gi", none)
			pv.Spec.PersistentVolumeReclaimPolicy = policy
			b.addVolume(pv)
			c := newClaim(name, "1Gi", new(none))
			c.Spec.VolumeName = name
			b.addClaim(c)
		}
		b.want("delete Bound delete; delete Bound delete 1Gi; retain Bound retain; retain Bound retain 1Gi")
		for _, name := range []string{"retain", "delete"} {
			if err := client.Delete(b.Context(), b.door, client.PersistentVolumeClaims, "default", name, ""); err != nil {
				b.Fatal(err)
			}
		}
		b.want("delete Failed delete; retain Released retain") // nothing outside /tmp is deleted
		b.wantEvent("persistentvolume-controller Warning VolumeFailedDelete: host_path deleter only supports /tmp/.+ but received provided /srv/delete")
		// A person who takes the claim out of a retained volume gives it back.
		pv := b.volume("retain").DeepCopy()
		pv.Spec.ClaimRef = nil
		if _, err := client.Update(b.Context(), b.door, client.PersistentVolumes, pv); err != nil {
			b.Fatal(err)
		}
		b.want("delete Failed delete; retain Available ")
		// The protection of bound volumes ends with the bond.
		for _, name := range []string{"retain", "delete"} {
			if err := client.Delete(b.Context(), b.door, client.PersistentVolumes, "", name, ""); err != nil {
				b.Fatal(err)
			}
		}
		b.want("")
	})
}

func TestRecycle(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		pv := newVolume("v", "1Gi", none)
		pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRecycle
		b.addVolume(pv)
		b.addClaim(newClaim("c", "1Gi", new(none)))
		b.want("c Bound v 1Gi; v Bound c")
		if err := client.Delete(b.Context(), b.door, client.PersistentVolumeClaims, "default", "c", ""); err != nil {
			b.Fatal(err)
		}
		b.want("v Released c")
		b.succeed("recycler-for-v")
		b.want("v Available ")
		b.wantEvent("persistentvolume-controller Normal VolumeRecycled: Volume recycled")
		if _, err := client.Get[*corev1.Pod](b.Context(), b.door, client.Pods, "default", "recycler-for-v"); !apierrors.IsNotFound(err) {
			b.Errorf("the scrubber stays: %v", err)
		}
	})
}

func TestLostClaim(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addVolume(newVolume("v", "1Gi", none))
		b.addClaim(newClaim("c", "1Gi", new(none)))
		b.want("c Bound v 1Gi; v Bound c")
		if err := client.Delete(b.Context(), b.door, client.PersistentVolumes, "", "v", ""); err != nil {
			b.Fatal(err)
		}
		pv := b.volume("v").DeepCopy() // which its protection keeps
		pv.Finalizers = nil
		if _, err := client.Update(b.Context(), b.door, client.PersistentVolumes, pv); err != nil {
			b.Fatal(err)
		}
		b.want("c Lost v 0")
		b.wantEvent("persistentvolume-controller Warning ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!")
	})
}

// A binder that dies at each of its writes in turn leaves what the next one makes whole: the same end as without a death, and no
// volume given to two claims.
func TestBinderDies(t *testing.T) {
	const want = "a Bound v1 2Gi; b Bound v2 3Gi; c Pending  0; kept Bound named; named Bound kept 1Gi; v1 Bound a; v2 Bound b"
	for deaths := range 14 {
		t.Run(fmt.Sprint("after ", deaths), func(t *testing.T) {
			inBubble(t, control.Config{Controllers: []string{"serviceaccount"}}, func(b *bench) {
				b.addVolume(newVolume("v1", "2Gi", none))
				b.addVolume(newVolume("v2", "3Gi", none))
				kept := newVolume("kept", "1Gi", none)
				kept.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: "named"}
				b.addVolume(kept)
				b.addClaim(newClaim("a", "2Gi", new(none)))
				b.settle(time.Second)
				b.addClaim(newClaim("b", "3Gi", new(none)))
				b.settle(time.Second)
				b.addClaim(newClaim("c", "3Gi", new(none)))
				b.addClaim(newClaim("named", "1Gi", new(none)))
				live := func(writes int64) {
					ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
					defer cancel()
					var left atomic.Int64
					left.Store(writes)
					m, err := control.New(control.Config{
						Kinds: all.Kinds(), Log: slog.New(slog.DiscardHandler), Controllers: []string{"persistentvolume-binder-controller"},
						Doors: func(user api.User, agent string) client.Interface {
							return &mortal{b.hub.Door(user, agent), &left, cancel}
						},
					})
					if err != nil {
						b.Fatal(err)
					}
					if err := m.Run(ctx); err != nil {
						b.Fatal(err)
					}
				}
				live(int64(deaths))
				live(1 << 40)
				got := b.seen()
				// b and c ask for the same: whichever of them has the volume, the other waits.
				got = strings.Replace(got, "b Pending  0; c Bound v2 3Gi;", "b Bound v2 3Gi; c Pending  0;", 1)
				if got = strings.Replace(got, "v2 Bound c", "v2 Bound b", 1); got != want {
					b.Errorf("%s\nwant %s", got, want)
				}
			})
		})
	}
}

// Claims and volumes that are as they should be cost no writes.
func TestBoundClaimsAreLeftAlone(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		for i := range 5 {
			b.addVolume(newVolume(fmt.Sprint("v", i), "1Gi", none))
			b.addClaim(newClaim(fmt.Sprint("c", i), "1Gi", new(none)))
		}
		b.addClaim(newClaim("waits", "1Gi", new(none)))
		b.settle(3 * time.Hour) // past the life of events
		before := b.revision()
		b.settle(3 * time.Hour)
		if got := b.writtenSince(before); len(got) > 0 {
			b.Errorf("written: %v", got)
		}
	})
}

// A pod's ephemeral volume has a claim of its own, which is made again when somebody deletes it, and stays another's where there is one.
func TestEphemeralClaims(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		template := &corev1.PersistentVolumeClaimTemplate{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: newClaim("", "1Gi", new("fast")).Spec}
		create(b, client.Pods, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "c", Image: "i"}},
			Volumes:    []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: template}}}},
		}})
		for range 2 {
			b.settle(time.Second)
			c := b.claim("p-v")
			if owner := metav1.GetControllerOf(c); owner == nil || owner.Name != "p" || owner.BlockOwnerDeletion == nil || c.Labels["a"] != "b" || *c.Spec.StorageClassName != "fast" {
				b.Errorf("%+v, %+v", c.ObjectMeta, c.Spec)
			}
			if err := client.Delete(b.Context(), b.door, client.PersistentVolumeClaims, "default", "p-v", ""); err != nil {
				b.Fatal(err)
			}
		}
		b.addClaim(newClaim("q-v", "1Gi", new("fast")))
		create(b, client.Pods, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "q"}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "c", Image: "i"}},
			Volumes:    []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: template}}}},
		}})
		b.settle(time.Second)
		b.wantEvent("ephemeral_volume Warning FailedBinding: ephemeral volume v: PVC default/q-v was not created for pod default/q (pod is not owner)")
	})
}

// A directory is made for a claim on the node that was chosen, grows, and is removed by its node before the volume goes.
func TestLocalVolumes(t *testing.T) {
	inBubble(t, control.Config{LocalPath: true}, func(b *bench) {
		b.settle(time.Second)
		if class, err := client.Get[*storagev1.StorageClass](b.Context(), b.door, client.StorageClasses, "", "local-path"); err != nil || class.Annotations["storageclass.kubernetes.io/is-default-class"] != "true" {
			b.Fatalf("%v, %v", class, err)
		}
		b.addNode("n", map[string]string{corev1.LabelHostname: "n"})
		annotate := func(key string, value any) {
			b.Helper()
			if _, err := client.MergePatch(b.Context(), b.door, client.Ref{Resource: client.Nodes, Name: "n"}, map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: value}}}); err != nil {
				b.Fatal(err)
			}
		}
		b.addClaim(newClaim("c", "1Gi", nil))
		b.settle(time.Second)
		choose := func() {
			b.Helper()
			b.changeClaim("c", func(c *corev1.PersistentVolumeClaim) {
				metav1.SetMetaDataAnnotation(&c.ObjectMeta, volumes.SelectedNode, "n")
			})
			b.settle(time.Second)
		}
		choose()
		choose() // at the first, the binder's event has the same instant of virtual time for its name
		b.wantEvent(`local-path-provisioner Warning ProvisioningFailed: failed to provision volume with StorageClass "local-path": node "n" keeps no local volumes`)
		if got := b.events("default"); strings.Contains(strings.Join(got, "\n"), "no node was chosen") {
			b.Errorf("a claim that waits for another node is told of: %q", got)
		}
		if _, still := b.claim("c").Annotations[volumes.SelectedNode]; still {
			b.Error("the scheduler is not asked again")
		}
		annotate(volumes.LocalDir, "/srv/volumes")
		b.settle(time.Second) // until the provisioner has seen it
		choose()
		c := b.claim("c")
		name := "pvc-" + string(c.UID)
		b.want("c Bound " + name + " 1Gi; " + name + " Bound c")
		if pv := b.volume(name); pv.Spec.Local.Path != "/srv/volumes/"+name || !slices.Contains(pv.Finalizers, volumes.ExternalProtection) || pv.Spec.NodeAffinity == nil {
			b.Errorf("%+v", pv)
		}
		b.changeClaim("c", func(c *corev1.PersistentVolumeClaim) { c.Spec.Resources.Requests = storageOf("3Gi") })
		b.want("c Bound " + name + " 3Gi; " + name + " Bound c")
		if size := volumes.Capacity(b.volume(name)); size != 3<<30 {
			b.Errorf("the volume has %d bytes", size)
		}
		if err := client.Delete(b.Context(), b.door, client.PersistentVolumeClaims, "default", "c", ""); err != nil {
			b.Fatal(err)
		}
		b.want(name + " Released c")
		asked := func() string {
			n, err := client.Get[*corev1.Node](b.Context(), b.door, client.Nodes, "", "n")
			if err != nil {
				b.Fatal(err)
			}
			return n.Annotations[volumes.RemovePrefix+name]
		}
		if asked() != volumes.RemoveWanted {
			b.Fatalf("the node is not asked: %q", asked())
		}
		annotate(volumes.RemovePrefix+name, volumes.RemoveDone)
		b.want("")
		if asked() != "" {
			b.Errorf("left on the node: %q", asked())
		}
	})
}
