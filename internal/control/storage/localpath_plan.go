package storage

import (
	"fmt"
	"path"

	"sampan.dev/internal/api/volumes"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// localClasses are the classes that a cluster with local volumes begins with: the first is what claims get that name none.
func localClasses() []*storagev1.StorageClass {
	class := func(name string, annotations map[string]string) *storagev1.StorageClass {
		return &storagev1.StorageClass{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations}, Provisioner: volumes.LocalProvisioner,
			ReclaimPolicy: new(corev1.PersistentVolumeReclaimDelete), VolumeBindingMode: new(storagev1.VolumeBindingWaitForFirstConsumer),
			AllowVolumeExpansion: new(true),
		}
	}
	return []*storagev1.StorageClass{
		class("local-path", map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}), class("standard", nil),
	}
}

// madeFor is what comes of a claim that wants a directory: a volume, or why there is none. elsewhere says that another node may do.
func madeFor(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, node *corev1.Node) (pv *corev1.PersistentVolume, elsewhere bool, err error) {
	for _, mode := range claim.Spec.AccessModes {
		if mode != corev1.ReadWriteOnce && mode != corev1.ReadWriteOncePod {
			return nil, false, fmt.Errorf("access mode %s: a directory of one node can only be %s or %s", mode, corev1.ReadWriteOnce, corev1.ReadWriteOncePod)
		}
	}
	chosen := claim.Annotations[volumes.SelectedNode]
	switch {
	case ptr.Deref(claim.Spec.VolumeMode, corev1.PersistentVolumeFilesystem) != corev1.PersistentVolumeFilesystem:
		return nil, false, fmt.Errorf("volumeMode Block: a directory is no device")
	case claim.Spec.Selector != nil:
		return nil, false, fmt.Errorf("claim.Spec.Selector is not supported")
	case chosen == "":
		return nil, false, fmt.Errorf("no node was chosen: the class needs volumeBindingMode %s", storagev1.VolumeBindingWaitForFirstConsumer)
	case node == nil:
		return nil, true, fmt.Errorf("node %q not found", chosen)
	case node.Annotations[volumes.LocalDir] == "":
		return nil, true, fmt.Errorf("node %q keeps no local volumes", chosen)
	}
	name := "pvc-" + string(claim.UID)
	pv = &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{volumes.ProvisionedBy: volumes.LocalProvisioner, volumes.LocalNode: node.Name}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes: claim.Spec.AccessModes, ClaimRef: volumes.Reference(claim), StorageClassName: class.Name, MountOptions: class.MountOptions,
			PersistentVolumeReclaimPolicy: ptr.Deref(class.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete),
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path.Join(node.Annotations[volumes.LocalDir], name)}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{hostname(node)}}},
			}}}},
		},
	}
	if pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
		pv.Finalizers = []string{volumes.ExternalProtection} // until the directory is gone
	}
	return pv, false, nil
}

func hostname(node *corev1.Node) string {
	if name := node.Labels[corev1.LabelHostname]; name != "" {
		return name
	}
	return node.Name
}

// unneeded reports whether a volume's directory is to go: its claim is gone, and its policy says so.
func unneeded(pv *corev1.PersistentVolume) bool {
	return pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete &&
		(pv.Status.Phase == corev1.VolumeReleased || pv.Status.Phase == corev1.VolumeFailed)
}
