package volumes

// drivers are the CSI drivers that stand in for what used to be in upstream's tree, by the plugins' names
// (csi-translation-lib).
var drivers = map[string]string{
	"kubernetes.io/aws-ebs":         "ebs.csi.aws.com",
	"kubernetes.io/azure-disk":      "disk.csi.azure.com",
	"kubernetes.io/azure-file":      "file.csi.azure.com",
	"kubernetes.io/cinder":          "cinder.csi.openstack.org",
	"kubernetes.io/gce-pd":          "pd.csi.storage.gke.io",
	"kubernetes.io/portworx-volume": "pxd.portworx.com",
	"kubernetes.io/vsphere-volume":  "csi.vsphere.vmware.com",
}

// Driver is the CSI driver that stands in for a plugin or provisioner; ok is false for those that act themselves.
func Driver(plugin string) (driver string, ok bool) {
	driver, ok = drivers[plugin]
	return driver, ok
}
