package volume

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/control/scheduler/plugin"
)

// A node that is taken for roomy without a look at its pods is one that counting finds room on, while pods with shared and own volumes
// come and go, and volumes stay attached for none.
func TestRoomyNodes(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	const driver = "ebs.csi.aws.com"
	var attached []*storagev1.VolumeAttachment
	csi := &storagev1.CSINode{Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{{Name: driver, Allocatable: &storagev1.VolumeNodeResources{Count: new(int32(6))}}}}}
	l := NewLimits(&Storage{
		Claim: func(namespace, name string) (*corev1.PersistentVolumeClaim, bool) {
			return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "v-" + name}}, true
		},
		Volume: func(name string) (*corev1.PersistentVolume, bool) {
			v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
			v.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: driver, VolumeHandle: name}
			return v, true
		},
		Driver:      func(string) (*storagev1.CSIDriver, bool) { return nil, false },
		CSINode:     func(string) (*storagev1.CSINode, bool) { return csi, true },
		Attachments: func(string) []*storagev1.VolumeAttachment { return attached },
	})
	node, made, roomy, full := plugin.NewNode("n"), 0, 0, 0
	var there []*plugin.Pod
	for range 3000 {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(fmt.Sprint(made)), Name: fmt.Sprint(made)}}
		made++
		for range 1 + dice.IntN(2) {
			pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: fmt.Sprint(dice.IntN(9))}}})
		}
		p := plugin.NewPod(pod)
		fresh := map[string]string{}
		if err := l.collect(p, fresh); err != nil {
			t.Fatal(err)
		}
		counted := l.count("n", fresh, limits(csi))
		if got := l.Filter(p, node); !got.Equal(counted) {
			t.Fatalf("%+v, counting says %+v", got, counted)
		}
		if l.roomy("n", fresh, limits(csi)) {
			roomy++
		} else if !counted.Fits() {
			full++
		}
		switch {
		case dice.IntN(2) == 0 && counted.Fits():
			there = append(there, p)
			l.Pod(p, node, +1)
		case len(there) > 0:
			i := dice.IntN(len(there))
			l.Pod(there[i], node, -1)
			there = append(there[:i], there[i+1:]...)
		}
		attached = nil
		if dice.IntN(3) == 0 {
			a := &storagev1.VolumeAttachment{Spec: storagev1.VolumeAttachmentSpec{Attacher: driver}}
			a.Spec.Source.PersistentVolumeName = new("v-x")
			attached = append(attached, a)
		}
	}
	if roomy < 100 || full < 20 {
		t.Errorf("roomy %d times, full %d times: too few to say anything", roomy, full)
	}
}
