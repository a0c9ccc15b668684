package valid

import (
	"fmt"
	"path"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *podCheck) checkVolumes() {
	c.volumes = map[string]*corev1.VolumeSource{}
	created := map[string]bool{} // the claims that will be made for this pod
	for i := range c.Volumes {
		if v := &c.Volumes[i]; v.Ephemeral != nil && c.meta != nil && c.meta.Name != "" {
			created[c.meta.Name+"-"+v.Name] = true
		}
	}
	for i := range c.Volumes {
		v, path := &c.Volumes[i], c.path.Child("volumes").Index(i)
		before := len(c.errs)
		c.volumeSource(v, path)
		if v.Name == "" {
			c.required(path.Child("name"), "")
		} else {
			c.add(DNSLabel(v.Name, path.Child("name"))...)
		}
		if c.volumes[v.Name] != nil {
			c.duplicate(path.Child("name"), v.Name)
		}
		if len(c.errs) == before {
			c.volumes[v.Name] = &v.VolumeSource
		}
		if p := v.PersistentVolumeClaim; p != nil && created[p.ClaimName] {
			c.invalid(path.Child("persistentVolumeClaim", "claimName"), p.ClaimName, "must not reference a PVC that gets created for an ephemeral volume")
		}
	}
}

// volumeSource checks that a volume has one source, and that it is well formed.
func (c *podCheck) volumeSource(v *corev1.Volume, path *field.Path) {
	var sources []volumeCheck
	one := func(set bool, name string, check func(path *field.Path)) {
		if set {
			sources = append(sources, volumeCheck{name, check})
		}
	}
	one(v.EmptyDir != nil, "emptyDir", func(path *field.Path) {
		if q := v.EmptyDir.SizeLimit; q != nil && q.Sign() < 0 {
			c.forbidden(path.Child("sizeLimit"), "SizeLimit field must be a valid resource quantity")
		}
		if m := v.EmptyDir.Mode; m != nil && (*m > 0o1777 || *m < 0) {
			c.invalid(path.Child("mode"), *m, "must be a number between 0 and 01777 (octal), both inclusive")
		}
	})
	one(v.HostPath != nil, "hostPath", func(path *field.Path) { c.hostPath(v.HostPath, path) })
	one(v.Secret != nil, "secret", func(path *field.Path) {
		c.keyVolume(v.Secret.SecretName, "secretName", v.Secret.DefaultMode, v.Secret.Items, path)
	})
	one(v.NFS != nil, "nfs", func(path *field.Path) { c.nfs(v.NFS, path) })
	one(v.PersistentVolumeClaim != nil, "persistentVolumeClaim", func(path *field.Path) {
		c.require(path, "claimName", v.PersistentVolumeClaim.ClaimName)
	})
	one(v.DownwardAPI != nil, "downwardAPI", func(path *field.Path) {
		c.add(fileMode(v.DownwardAPI.DefaultMode, path.Child("defaultMode"))...)
		for i := range v.DownwardAPI.Items {
			c.downwardFile(&v.DownwardAPI.Items[i], path)
		}
	})
	one(v.ConfigMap != nil, "configMap", func(path *field.Path) {
		c.keyVolume(v.ConfigMap.Name, "name", v.ConfigMap.DefaultMode, v.ConfigMap.Items, path)
	})
	one(v.Projected != nil, "projected", func(path *field.Path) { c.projected(v.Projected, path) })
	one(v.CSI != nil, "csi", func(path *field.Path) { c.csi(v.CSI, path) })
	one(v.Ephemeral != nil, "ephemeral", func(at *field.Path) { c.ephemeral(v, at, path) })
	one(v.Image != nil, "image", func(path *field.Path) {
		c.require(path, "reference", v.Image.Reference)
		c.add(pullPolicy(v.Image.PullPolicy, path.Child("pullPolicy"))...)
	})
	c.foreignVolume(v, path, one)
	if len(sources) == 0 {
		c.required(path, "must specify a volume type")
		return
	}
	slices.SortFunc(sources, func(a, b volumeCheck) int {
		return slices.Index(volumeOrder, a.name) - slices.Index(volumeOrder, b.name)
	})
	sources[0].check(path.Child(sources[0].name))
	for _, s := range sources[1:] {
		name := s.name
		switch name { // upstream's slips
		case "downwardAPI":
			name = "downwarAPI"
		case "cephfs":
			name = "cephFS"
		}
		c.forbidden(path.Child(name), "may not specify more than 1 volume type")
	}
}

// volumeCheck is the check of a volume source that is set.
type volumeCheck struct {
	name  string
	check func(path *field.Path)
}

// volumeOrder is the order in which upstream looks at the sources: the first counts, the others are refused.
var volumeOrder = []string{
	"emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi", "glusterfs",
	"flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc", "flexVolume", "configMap",
	"azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk", "storageos", "projected", "scaleIO",
	"csi", "ephemeral", "image",
}

// require adds a Required error if value is empty.
func (c *podCheck) require(path *field.Path, name, value string) {
	if value == "" {
		c.required(path.Child(name), "")
	}
}

func (c *podCheck) hostPath(h *corev1.HostPathVolumeSource, path *field.Path) {
	if h.Path == "" {
		c.required(path.Child("path"), "")
		return
	}
	c.add(noBacksteps(h.Path, path.Child("path"))...)
	if h.Type != nil {
		c.add(OneOf(*h.Type, path.Child("type"), corev1.HostPathUnset, corev1.HostPathDirectoryOrCreate, corev1.HostPathDirectory,
			corev1.HostPathFileOrCreate, corev1.HostPathFile, corev1.HostPathSocket, corev1.HostPathCharDev, corev1.HostPathBlockDev)...)
	}
}

func (c *podCheck) nfs(n *corev1.NFSVolumeSource, at *field.Path) {
	c.require(at, "server", n.Server)
	c.require(at, "path", n.Path)
	if !path.IsAbs(n.Path) {
		c.invalid(at.Child("path"), n.Path, "must be an absolute path")
	}
}

// keyVolume checks a volume made of the keys of an object.
func (c *podCheck) keyVolume(name, nameField string, mode *int32, items []corev1.KeyToPath, path *field.Path) {
	c.require(path, nameField, name)
	c.add(fileMode(mode, path.Child("defaultMode"))...)
	for i := range items {
		c.keyToPath(&items[i], path.Child("items").Index(i))
	}
}

func (c *podCheck) keyToPath(k *corev1.KeyToPath, path *field.Path) {
	c.require(path, "key", k.Key)
	c.require(path, "path", k.Path)
	c.add(volumeFile(k.Path, path.Child("path"))...)
	c.add(fileMode(k.Mode, path.Child("mode"))...)
}

// downwardFile checks a file of the downward API. As upstream does, it names the path of the volume, not of the item.
func (c *podCheck) downwardFile(f *corev1.DownwardAPIVolumeFile, path *field.Path) {
	c.require(path, "path", f.Path)
	c.add(volumeFile(f.Path, path.Child("path"))...)
	switch {
	case f.FieldRef != nil:
		c.fieldRef(f.FieldRef, path.Child("fieldRef"), "metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid")
		if f.ResourceFieldRef != nil {
			c.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
		}
	case f.ResourceFieldRef != nil:
		c.resourceRef(f.ResourceFieldRef, path.Child("resourceFieldRef"), true)
	default:
		c.required(path, "one of fieldRef and resourceFieldRef is required")
	}
	c.add(fileMode(f.Mode, path.Child("mode"))...)
}

func (c *podCheck) ephemeral(v *corev1.Volume, path, volume *field.Path) {
	t := v.Ephemeral.VolumeClaimTemplate
	if t == nil {
		c.required(path.Child("volumeClaimTemplate"), "")
	} else {
		path := path.Child("volumeClaimTemplate")
		c.add(TemplateMeta(&t.ObjectMeta, path.Child("metadata"))...)
		c.add(ClaimSpec(&t.Spec, path.Child("spec"))...)
	}
	if c.meta == nil || c.meta.Name == "" || v.Name == "" {
		return
	}
	name := c.meta.Name + "-" + v.Name
	for _, msg := range apivalidation.NameIsDNSSubdomain(name, false) {
		c.invalid(volume.Child("name"), v.Name, fmt.Sprintf("PVC name %q: %v", name, msg))
	}
}

// TemplateMeta checks the metadata in a template of claims: only labels and annotations may be set.
func TemplateMeta(meta *metav1.ObjectMeta, path *field.Path) field.ErrorList {
	errs := append(Annotations(meta.Annotations, path.Child("annotations")), Labels(meta.Labels, path.Child("labels"))...)
	v := reflect.ValueOf(*meta)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Name == "Labels" || f.Name == "Annotations" || v.Field(i).IsZero() {
			continue
		}
		errs = append(errs, field.Forbidden(path.Child(lowerFirst(f.Name)), "cannot be set"))
	}
	return errs
}
