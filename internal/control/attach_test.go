package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const attacherFinalizer = "external-attacher/example-com"

// attaches is a driver's external attacher: what is asked for is attached after a second, and let go of a second after that is asked. It
// fails the test when a volume of one writer is attached to two nodes at a time.
func (b *bench) attaches() {
	log := slog.New(slog.DiscardHandler)
	known := cache.New[*storagev1.VolumeAttachment](b.door, client.VolumeAttachments, cache.Options{}, log)
	patch := func(va *storagev1.VolumeAttachment, sub, text string) {
		time.Sleep(time.Second)
		_, _ = b.door.Patch(b.Context(), client.Ref{Resource: client.VolumeAttachments, Name: va.Name, Subresource: sub}, types.MergePatchType, []byte(text), metav1.PatchOptions{})
	}
	look := func(va *storagev1.VolumeAttachment) {
		for _, o := range known.List("") {
			if o.Spec.NodeName != va.Spec.NodeName && *o.Spec.Source.PersistentVolumeName == *va.Spec.Source.PersistentVolumeName {
				b.Errorf("%s is for %s while it is for %s", *va.Spec.Source.PersistentVolumeName, va.Spec.NodeName, o.Spec.NodeName)
			}
		}
		switch {
		case va.DeletionTimestamp != nil && len(va.Finalizers) > 0:
			go patch(va, "", `{"metadata":{"finalizers":null}}`)
		case va.DeletionTimestamp == nil && len(va.Finalizers) == 0:
			go patch(va, "", `{"metadata":{"finalizers":["`+attacherFinalizer+`"]}}`)
		case va.DeletionTimestamp == nil && !va.Status.Attached:
			go patch(va, "status", `{"status":{"attached":true}}`)
		}
	}
	known.Handle(cache.Handler[*storagev1.VolumeAttachment]{Add: look, Update: func(_, va *storagev1.VolumeAttachment) { look(va) }})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); known.Run(ctx) }() //nolint:errcheck // it ends with the test
	b.Cleanup(func() { cancel(); <-done })
}

// uses says in a node's status, as its kubelet does, which volumes it uses.
func (b *bench) uses(node string, handles ...string) {
	b.Helper()
	list := []string{}
	for _, h := range handles {
		list = append(list, "kubernetes.io/csi/example.com^"+h)
	}
	b.patch(client.Ref{Resource: client.Nodes, Name: node, Subresource: "status"}, map[string]any{"status": map[string]any{"volumesInUse": list}})
}

// attachments says what is attached, and what the nodes' status says of it.
func (b *bench) attachments() string {
	b.Helper()
	var out []string
	vas, err := client.ListAll[*storagev1.VolumeAttachment](b.Context(), b.door, client.VolumeAttachments, "", metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for _, va := range vas {
		out = append(out, fmt.Sprintf("%s on %s %t", *va.Spec.Source.PersistentVolumeName, va.Spec.NodeName, va.Status.Attached))
	}
	nodes, err := client.ListAll[*corev1.Node](b.Context(), b.door, client.Nodes, "", metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range nodes {
		for _, v := range n.Status.VolumesAttached {
			out = append(out, fmt.Sprintf("%s told on %s", strings.TrimPrefix(string(v.Name), "kubernetes.io/csi/example.com^"), n.Name))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// addDriven makes a claim with a volume of a CSI driver.
func (b *bench) addDriven(name string) {
	b.Helper()
	pv := newVolume("pv-"+name, "1Gi", none)
	pv.Spec.HostPath, pv.Spec.CSI = nil, &corev1.CSIPersistentVolumeSource{Driver: "example.com", VolumeHandle: name}
	b.addVolume(pv)
	c := newClaim(name, "1Gi", new(none))
	c.Spec.VolumeName = pv.Name
	b.addClaim(c)
}

func (b *bench) addUser(name, node, claim string) {
	b.Helper()
	create(b, client.Pods, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.PodSpec{
		NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}}, TerminationGracePeriodSeconds: new(int64(0)),
		Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}},
	}})
}

// TestAttachCrashes moves a volume from one node to another: whatever write the controller dies at, it is attached where it is wanted, at one node at
// a time, and stays for as long as the node uses it.
func TestAttachCrashes(t *testing.T) {
	controllers := []string{"persistentvolume-attach-detach-controller", "persistentvolume-binder-controller"}
	crashes(t, "attachdetach-controller", controllers, []string{"n0", "n1"}, func(b *bench) string {
		b.attaches()
		b.addDriven("v")
		b.addUser("first", "n0", "v")
		b.settle(30 * time.Second)
		out := b.attachments()
		b.uses("n0", "v")
		b.addUser("second", "n1", "v")
		b.settle(30 * time.Second)
		out += " | " + b.attachments()
		if err := client.Delete(b.Context(), b.door, client.Pods, "default", "first", ""); err != nil {
			b.Fatal(err)
		}
		b.settle(time.Hour)
		out += " | " + b.attachments()
		b.uses("n0")
		b.settle(30 * time.Second)
		return out + " | " + b.attachments()
	})
}

func TestAttach(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.attaches()
		for _, n := range []string{"n0", "n1"} {
			b.addNode(n, nil)
		}
		b.addDriven("v")
		b.addUser("first", "n0", "v")
		b.settle(10 * time.Second)
		want := func(want string) {
			b.Helper()
			if got := b.attachments(); got != want {
				b.Errorf("%s\nwant %s", got, want)
			}
		}
		want("pv-v on n0 true; v told on n0")
		b.wantEvent(`attachdetach-controller Normal SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume "pv-v" `)
		b.uses("n0", "v")
		b.addUser("second", "n1", "v")
		b.settle(10 * time.Second)
		want("pv-v on n0 true; v told on n0")
		b.wantEvent(`attachdetach-controller Warning FailedAttachVolume: Waiting for detach for volume "pv-v" Volume is already used by pod(s) first`)

		before := b.revision()
		b.settle(time.Hour)
		if got := slices.DeleteFunc(b.writtenSince(before), func(w string) bool { return strings.Contains(w, "lease") || strings.Contains(w, "event") }); len(got) > 0 {
			b.Errorf("written: %v", got)
		}

		// The node falls silent: its pod goes, and what it uses is taken from it after six minutes.
		b.setSilent(true, "n0")
		b.settle(2 * time.Minute)
		if err := b.door.Delete(b.Context(), client.Ref{Resource: client.Pods, Namespace: "default", Name: "first"}, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
			b.Fatal(err)
		}
		b.settle(5 * time.Minute)
		want("pv-v on n0 true; v told on n0")
		b.settle(2 * time.Minute)
		want("pv-v on n1 true; v told on n1")

		// A node that is out of service loses it at once.
		b.uses("n1", "v")
		b.taint("n1", corev1.Taint{Key: corev1.TaintNodeOutOfService, Effect: corev1.TaintEffectNoExecute})
		b.settle(30 * time.Second)
		if err := b.door.Delete(b.Context(), client.Ref{Resource: client.Pods, Namespace: "default", Name: "second"}, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil && len(b.podsOf("default", nil)) > 0 {
			b.Fatal(err)
		}
		b.settle(30 * time.Second)
		want("")
	})
}

// A driver whose volumes are not attached costs no VolumeAttachment.
func TestNotAttached(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("n0", nil)
		create(b, client.CSIDrivers, &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "example.com"}, Spec: storagev1.CSIDriverSpec{AttachRequired: new(false)}})
		b.addDriven("v")
		b.addUser("p", "n0", "v")
		b.settle(time.Minute)
		if got := b.attachments(); got != "" {
			t.Error(got)
		}
	})
}

func TestExternalExpansion(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		class := newClass("grows", "example.com", storagev1.VolumeBindingImmediate)
		class.AllowVolumeExpansion = new(true)
		b.addClass(class)
		pv := newVolume("pv-v", "1Gi", "grows")
		pv.Spec.HostPath, pv.Spec.CSI = nil, &corev1.CSIPersistentVolumeSource{Driver: "example.com", VolumeHandle: "v"}
		b.addVolume(pv)
		b.addClaim(newClaim("v", "1Gi", new("grows")))
		b.settle(time.Second)
		b.changeClaim("v", func(c *corev1.PersistentVolumeClaim) { c.Spec.Resources.Requests = storageOf("2Gi") })
		b.settle(time.Second)
		b.wantEvent("volume_expand Normal ExternalExpanding: waiting for an external controller to expand this PVC")
	})
}
