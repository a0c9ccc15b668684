package valid

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// persistentCheck gathers what is wrong with the source of a persistent volume. What its sources share with those of pods is
// checked by the rules of pods.
type persistentCheck struct {
	podCheck
	source *corev1.PersistentVolumeSource
	volume string // the name of the volume; "" for an inline one
	affine bool   // the volume has a node affinity
}

// sources checks the first source in upstream's order, refuses all further ones and reports whether there is one.
func (c *persistentCheck) sources() bool {
	s, n := c.source, 0
	one := func(set bool, name, at string, check func(path *field.Path)) {
		switch {
		case !set:
		case n > 0 && name != "flexVolume": // upstream's slip: a Flex volume may stand beside another one
			c.forbidden(c.path.Child(name), "may not specify more than 1 volume type")
		default:
			n++
			check(c.path.Child(at))
		}
	}
	one(s.HostPath != nil, "hostPath", "hostPath", func(path *field.Path) { c.hostPath(s.HostPath, path) })
	one(s.GCEPersistentDisk != nil, "gcePersistentDisk", "persistentDisk", func(path *field.Path) {
		c.disk("pdName", s.GCEPersistentDisk.PDName, s.GCEPersistentDisk.Partition, path)
	})
	one(s.AWSElasticBlockStore != nil, "awsElasticBlockStore", "awsElasticBlockStore", func(path *field.Path) {
		c.disk("volumeID", s.AWSElasticBlockStore.VolumeID, s.AWSElasticBlockStore.Partition, path)
	})
	one(s.Glusterfs != nil, "glusterfs", "glusterfs", c.glusterfs)
	one(s.Flocker != nil, "flocker", "flocker", func(path *field.Path) { c.flocker(s.Flocker, path) })
	one(s.NFS != nil, "nfs", "nfs", func(path *field.Path) { c.nfs(s.NFS, path) })
	one(s.RBD != nil, "rbd", "rbd", func(path *field.Path) {
		c.requireAll(path, "monitors", strings.Join(s.RBD.CephMonitors, ","), "image", s.RBD.RBDImage)
	})
	one(s.Quobyte != nil, "quobyte", "quobyte", func(path *field.Path) { c.quobyte(s.Quobyte, path) })
	one(s.CephFS != nil, "cephFS", "cephfs", func(path *field.Path) { c.require(path, "monitors", strings.Join(s.CephFS.Monitors, ",")) })
	one(s.ISCSI != nil, "iscsi", "iscsi", c.iscsiVolume)
	one(s.Cinder != nil, "cinder", "cinder", func(path *field.Path) {
		c.require(path, "volumeID", s.Cinder.VolumeID)
		if ref := s.Cinder.SecretRef; ref != nil {
			c.requireAll(path.Child("secretRef"), "name", ref.Name, "namespace", ref.Namespace)
		}
	})
	one(s.FC != nil, "fc", "fc", func(path *field.Path) { c.fibreChannel(s.FC, path) })
	one(s.FlexVolume != nil, "flexVolume", "flexVolume", func(path *field.Path) {
		c.flex(&corev1.FlexVolumeSource{Driver: s.FlexVolume.Driver, Options: s.FlexVolume.Options}, path)
	})
	one(s.AzureFile != nil, "azureFile", "azureFile", func(path *field.Path) {
		c.requireAll(path, "secretName", s.AzureFile.SecretName, "shareName", s.AzureFile.ShareName)
		if n := s.AzureFile.SecretNamespace; n != nil {
			c.require(path, "secretNamespace", *n)
		}
	})
	one(s.VsphereVolume != nil, "vsphereVolume", "vsphereVolume", func(path *field.Path) { c.require(path, "volumePath", s.VsphereVolume.VolumePath) })
	one(s.PhotonPersistentDisk != nil, "photonPersistentDisk", "photonPersistentDisk", func(path *field.Path) { c.require(path, "pdID", s.PhotonPersistentDisk.PdID) })
	one(s.PortworxVolume != nil, "portworxVolume", "portworxVolume", func(path *field.Path) { c.require(path, "volumeID", s.PortworxVolume.VolumeID) })
	one(s.AzureDisk != nil, "azureDisk", "azureDisk", func(path *field.Path) { c.azureDisk(s.AzureDisk, path) })
	one(s.ScaleIO != nil, "scaleIO", "scaleIO", func(path *field.Path) {
		c.requireAll(path, "gateway", s.ScaleIO.Gateway, "system", s.ScaleIO.System, "volumeName", s.ScaleIO.VolumeName)
	})
	one(s.Local != nil, "local", "local", c.local)
	one(s.StorageOS != nil, "storageos", "storageos", c.storageOS)
	one(s.CSI != nil, "csi", "csi", c.csiVolume)
	return n > 0
}

// requireAll wants values; they come behind their names.
func (c *persistentCheck) requireAll(path *field.Path, pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		c.require(path, pairs[i], pairs[i+1])
	}
}

func (c *persistentCheck) glusterfs(path *field.Path) {
	g := c.source.Glusterfs
	c.requireAll(path, "endpoints", g.EndpointsName, "path", g.Path)
	n := g.EndpointsNamespace
	switch {
	case n == nil:
	case *n == "":
		c.invalid(path.Child("endpointsNamespace"), *n, "if the endpointnamespace is set, it must be a valid namespace name")
	default:
		c.invalidAll(path.Child("endpointsNamespace"), *n, apivalidation.ValidateNamespaceName(*n, false))
	}
}

func (c *persistentCheck) iscsiVolume(path *field.Path) {
	s := c.source.ISCSI
	c.require(path, "targetPortal", s.TargetPortal)
	if s.InitiatorName != nil && len(c.volume+":"+s.TargetPortal) > 64 {
		c.invalid(path.Child("targetportal"), s.TargetPortal, "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.")
	}
	if s.IQN == "" {
		c.required(path.Child("iqn"), "")
	} else {
		c.initiatorName(s.IQN, path.Child("iqn"))
	}
	if s.Lun < 0 || s.Lun > 255 {
		c.invalid(path.Child("lun"), s.Lun, validation.InclusiveRangeError(0, 255))
	}
	if (s.DiscoveryCHAPAuth || s.SessionCHAPAuth) && s.SecretRef == nil {
		c.required(path.Child("secretRef"), "")
	}
	if s.SecretRef != nil {
		c.require(path.Child("secretRef"), "name", s.SecretRef.Name)
	}
	if s.InitiatorName != nil {
		c.initiatorName(*s.InitiatorName, path.Child("initiatorname"))
	}
}

// initiatorName is the rule of pods in fewer words.
func (c *persistentCheck) initiatorName(name string, path *field.Path) {
	before := len(c.errs)
	if c.initiator(name, path); len(c.errs) > before {
		c.errs = c.errs[:before]
		c.invalid(path, name, "must be valid format")
	}
}

func (c *persistentCheck) local(path *field.Path) {
	if p := c.source.Local.Path; p == "" {
		c.required(path.Child("path"), "")
	} else {
		c.add(noBacksteps(p, path.Child("path"))...)
	}
	if !c.affine {
		c.required(c.path.Child("nodeAffinity"), "Local volume requires node affinity")
	}
}

func (c *persistentCheck) storageOS(path *field.Path) {
	s := c.source.StorageOS
	if s.VolumeName == "" {
		c.required(path.Child("volumeName"), "")
	} else {
		c.add(DNSLabel(s.VolumeName, path.Child("volumeName"))...)
	}
	if s.VolumeNamespace != "" {
		c.add(DNSLabel(s.VolumeNamespace, path.Child("volumeNamespace"))...)
	}
	if s.SecretRef != nil {
		c.requireAll(path.Child("secretRef"), "name", s.SecretRef.Name, "namespace", s.SecretRef.Namespace)
	}
}

func (c *persistentCheck) csiVolume(path *field.Path) {
	s := c.source.CSI
	c.add(DriverName(s.Driver, path.Child("driver"))...)
	c.require(path, "volumeHandle", s.VolumeHandle)
	for _, r := range []struct {
		name string
		ref  *corev1.SecretReference
	}{
		{"controllerPublishSecretRef", s.ControllerPublishSecretRef}, {"controllerExpandSecretRef", s.ControllerExpandSecretRef},
		{"nodePublishSecretRef", s.NodePublishSecretRef}, {"nodeExpandSecretRef", s.NodeExpandSecretRef},
	} {
		if r.ref != nil {
			c.secretInNamespace(r.ref, path.Child(r.name))
		}
	}
}

func (c *persistentCheck) secretInNamespace(ref *corev1.SecretReference, path *field.Path) {
	if ref.Name == "" {
		c.required(path.Child("name"), "")
	} else {
		c.add(DNSSubdomain(ref.Name, path.Child("name"))...)
	}
	if ref.Namespace == "" {
		c.required(path.Child("namespace"), "")
	} else {
		c.add(DNSLabel(ref.Namespace, path.Child("namespace"))...)
	}
}
