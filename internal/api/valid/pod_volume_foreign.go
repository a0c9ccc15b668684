package valid

import (
	"net"
	"strings"

	"sampan.dev/internal/pattern"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// foreignVolume checks the sources that were once built into Kubernetes for particular storage systems. No driver of ours
// serves them; they are checked so that what is stored is well formed.
func (c *podCheck) foreignVolume(v *corev1.Volume, path *field.Path, one func(set bool, name string, check func(*field.Path))) {
	require := func(pairs ...string) func(*field.Path) {
		return func(path *field.Path) {
			for i := 0; i < len(pairs); i += 2 {
				c.require(path, pairs[i], pairs[i+1])
			}
		}
	}
	if g := v.GitRepo; g != nil {
		one(true, "gitRepo", func(path *field.Path) {
			c.require(path, "repository", g.Repository)
			c.add(descendingPath(g.Directory, path.Child("directory"))...)
		})
	}
	if d := v.GCEPersistentDisk; d != nil {
		one(true, "gcePersistentDisk", func(*field.Path) { c.disk("pdName", d.PDName, d.Partition, path.Child("persistentDisk")) })
	}
	if d := v.AWSElasticBlockStore; d != nil {
		one(true, "awsElasticBlockStore", func(path *field.Path) { c.disk("volumeID", d.VolumeID, d.Partition, path) })
	}
	if i := v.ISCSI; i != nil {
		one(true, "iscsi", func(at *field.Path) { c.iscsi(v.Name, i, at, path) })
	}
	if g := v.Glusterfs; g != nil {
		one(true, "glusterfs", require("endpoints", g.EndpointsName, "path", g.Path))
	}
	if f := v.Flocker; f != nil {
		one(true, "flocker", func(path *field.Path) { c.flocker(f, path) })
	}
	if r := v.RBD; r != nil {
		one(true, "rbd", require("monitors", strings.Join(r.CephMonitors, ","), "image", r.RBDImage))
	}
	if d := v.Cinder; d != nil {
		one(true, "cinder", func(path *field.Path) {
			c.require(path, "volumeID", d.VolumeID)
			c.secretRef(d.SecretRef, path)
		})
	}
	if f := v.CephFS; f != nil {
		one(true, "cephfs", require("monitors", strings.Join(f.Monitors, ",")))
	}
	if q := v.Quobyte; q != nil {
		one(true, "quobyte", func(path *field.Path) { c.quobyte(q, path) })
	}
	if f := v.FC; f != nil {
		one(true, "fc", func(path *field.Path) { c.fibreChannel(f, path) })
	}
	if f := v.FlexVolume; f != nil {
		one(true, "flexVolume", func(path *field.Path) { c.flex(f, path) })
	}
	if f := v.AzureFile; f != nil {
		one(true, "azureFile", require("secretName", f.SecretName, "shareName", f.ShareName))
	}
	if d := v.VsphereVolume; d != nil {
		one(true, "vsphereVolume", require("volumePath", d.VolumePath))
	}
	if d := v.PhotonPersistentDisk; d != nil {
		one(true, "photonPersistentDisk", require("pdID", d.PdID))
	}
	if d := v.PortworxVolume; d != nil {
		one(true, "portworxVolume", require("volumeID", d.VolumeID))
	}
	if d := v.AzureDisk; d != nil {
		one(true, "azureDisk", func(path *field.Path) { c.azureDisk(d, path) })
	}
	if s := v.StorageOS; s != nil {
		one(true, "storageos", func(path *field.Path) {
			if s.VolumeName == "" {
				c.required(path.Child("volumeName"), "")
			} else {
				c.add(DNSLabel(s.VolumeName, path.Child("volumeName"))...)
			}
			if s.VolumeNamespace != "" {
				c.add(DNSLabel(s.VolumeNamespace, path.Child("volumeNamespace"))...)
			}
			c.secretRef(s.SecretRef, path)
		})
	}
	if s := v.ScaleIO; s != nil {
		one(true, "scaleIO", require("gateway", s.Gateway, "system", s.System, "volumeName", s.VolumeName))
	}
}

func (c *podCheck) secretRef(ref *corev1.LocalObjectReference, path *field.Path) {
	if ref != nil {
		c.require(path.Child("secretRef"), "name", ref.Name)
	}
}

func (c *podCheck) disk(idField, id string, partition int32, path *field.Path) {
	c.require(path, idField, id)
	if partition < 0 || partition > 255 {
		c.invalid(path.Child("partition"), partition, validation.InclusiveRangeError(1, 255))
	}
}

var (
	iqn = pattern.New(`iqn\.\d{4}-\d{2}\.([[:alnum:]-.]+)(:[^,;*&$|\s]+)$`)
	eui = pattern.New(`^eui.[[:alnum:]]{16}$`)
	naa = pattern.New(`^naa.[[:alnum:]]{32}$`)
)

func (c *podCheck) iscsi(volume string, s *corev1.ISCSIVolumeSource, path, ofVolume *field.Path) {
	c.require(path, "targetPortal", s.TargetPortal)
	if s.IQN == "" {
		c.required(path.Child("iqn"), "")
	} else {
		c.initiator(s.IQN, path.Child("iqn"))
	}
	if s.Lun < 0 || s.Lun > 255 {
		c.invalid(path.Child("lun"), s.Lun, validation.InclusiveRangeError(0, 255))
	}
	if (s.DiscoveryCHAPAuth || s.SessionCHAPAuth) && s.SecretRef == nil {
		c.required(path.Child("secretRef"), "")
	}
	if s.InitiatorName == nil {
		return
	}
	c.initiator(*s.InitiatorName, path.Child("initiatorname"))
	if len(volume+":"+s.TargetPortal) > 64 {
		c.invalid(ofVolume.Child("name"), volume, "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.")
	}
}

func (c *podCheck) initiator(name string, path *field.Path) {
	re := map[string]*pattern.Pattern{"iqn": iqn, "eui": eui, "naa": naa}[name[:min(3, len(name))]]
	if re == nil {
		c.invalid(path, name, "must be valid format starting with iqn, eui, or naa")
	} else if !re.MatchString(name) {
		c.invalid(path, name, "must be valid format")
	}
}

func (c *podCheck) flocker(f *corev1.FlockerVolumeSource, path *field.Path) {
	if f.DatasetName == "" && f.DatasetUUID == "" {
		c.required(path, "one of datasetName and datasetUUID is required")
	}
	if f.DatasetName != "" && f.DatasetUUID != "" {
		c.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
	}
	if strings.Contains(f.DatasetName, "/") {
		c.invalid(path.Child("datasetName"), f.DatasetName, "must not contain '/'")
	}
}

func (c *podCheck) quobyte(q *corev1.QuobyteVolumeSource, path *field.Path) {
	const pairs = "must be a host:port pair or multiple pairs separated by commas"
	switch {
	case q.Registry == "":
		c.required(path.Child("registry"), pairs)
	case len(q.Tenant) >= 65:
		c.required(path.Child("tenant"), "must be a UUID and may not exceed a length of 64 characters")
	default:
		for _, pair := range strings.Split(q.Registry, ",") {
			if _, _, err := net.SplitHostPort(pair); err != nil {
				c.invalid(path.Child("registry"), q.Registry, pairs)
			}
		}
	}
	c.require(path, "volume", q.Volume)
}

func (c *podCheck) fibreChannel(f *corev1.FCVolumeSource, path *field.Path) {
	names := path.Child("targetWWNs")
	if len(f.TargetWWNs) == 0 && len(f.WWIDs) == 0 {
		c.required(names, "must specify either targetWWNs or wwids, but not both")
	}
	if len(f.TargetWWNs) == 0 {
		return
	}
	if len(f.WWIDs) > 0 {
		c.invalid(names, f.TargetWWNs, "targetWWNs and wwids can not be specified simultaneously")
	}
	if f.Lun == nil {
		c.required(path.Child("lun"), "lun is required if targetWWNs is specified")
	} else if *f.Lun < 0 || *f.Lun > 255 {
		c.invalid(path.Child("lun"), f.Lun, validation.InclusiveRangeError(0, 255))
	}
}

func (c *podCheck) flex(f *corev1.FlexVolumeSource, path *field.Path) {
	c.require(path, "driver", f.Driver)
	for key := range f.Options {
		domain, _, _ := strings.Cut(key, "/")
		domain = "." + strings.ToLower(domain)
		if strings.HasSuffix(domain, ".kubernetes.io") || strings.HasSuffix(domain, ".k8s.io") {
			c.invalid(path.Child("options").Key(key), key, "kubernetes.io and k8s.io namespaces are reserved")
		}
	}
}

func (c *podCheck) azureDisk(d *corev1.AzureDiskVolumeSource, path *field.Path) {
	c.require(path, "diskName", d.DiskName)
	c.require(path, "diskURI", d.DataDiskURI)
	if d.CachingMode != nil {
		c.add(OneOf(*d.CachingMode, path.Child("cachingMode"), corev1.AzureDataDiskCachingNone, corev1.AzureDataDiskCachingReadOnly, corev1.AzureDataDiskCachingReadWrite)...)
	}
	if d.Kind == nil {
		return
	}
	c.add(OneOf(*d.Kind, path.Child("kind"), corev1.AzureSharedBlobDisk, corev1.AzureDedicatedBlobDisk, corev1.AzureManagedDisk)...)
	prefix, form := "https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
	if *d.Kind == corev1.AzureManagedDisk {
		prefix, form = "/subscriptions/", "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
	}
	if !strings.HasPrefix(d.DataDiskURI, prefix) {
		c.add(field.NotSupported(path.Child("diskURI"), d.DataDiskURI, []string{form}))
	}
}

func (c *podCheck) csi(s *corev1.CSIVolumeSource, path *field.Path) {
	driver := path.Child("driver")
	if s.Driver == "" {
		c.required(driver, "")
	} else {
		if len(s.Driver) > 63 {
			c.add(field.TooLong(driver, "", 63))
		}
		c.invalidAll(driver, s.Driver, validation.IsDNS1123Subdomain(strings.ToLower(s.Driver)))
	}
	if ref := s.NodePublishSecretRef; ref != nil {
		c.require(path.Child("nodePublishSecretRef"), "name", ref.Name)
		if ref.Name != "" {
			c.invalidAll(path.Child("name"), ref.Name, apivalidation.NameIsDNSSubdomain(ref.Name, false))
		}
	}
}
