package volumes

import (
	"crypto/sha256"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// CSI is upstream's name of the plugin that volumes of CSI drivers belong to.
const CSI = "kubernetes.io/csi"

// CSIName is the name of a driver's volume in the status of nodes.
func CSIName(driver, handle string) corev1.UniqueVolumeName {
	return corev1.UniqueVolumeName(CSI + "/" + driver + "^" + handle)
}

// AttachmentName is the name of the VolumeAttachment of a driver's volume on a node, which everybody can compute.
func AttachmentName(driver, handle, node string) string {
	return fmt.Sprintf("csi-%x", sha256.Sum256([]byte(handle+driver+node)))
}

// Attaches reports whether the control plane has to attach a driver's volumes: so it is unless the driver's object says otherwise. nil is
// a driver without one.
func Attaches(driver *storagev1.CSIDriver) bool {
	return driver == nil || driver.Spec.AttachRequired == nil || *driver.Spec.AttachRequired
}
