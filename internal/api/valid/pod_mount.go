package valid

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *podCheck) mounts(ctr *corev1.Container, path *field.Path) {
	paths := map[string]bool{}
	for i := range ctr.VolumeMounts {
		m, at := &ctr.VolumeMounts[i], path.Index(i)
		if m.Name == "" {
			c.required(at.Child("name"), "")
		}
		if c.volumes[m.Name] == nil {
			c.add(field.NotFound(at.Child("name"), m.Name))
		}
		if m.MountPath == "" {
			c.required(at.Child("mountPath"), "")
		}
		if paths[m.MountPath] {
			c.invalid(at.Child("mountPath"), m.MountPath, "must be unique")
		}
		paths[m.MountPath] = true
		if slices.ContainsFunc(ctr.VolumeDevices, func(d corev1.VolumeDevice) bool { return d.Name == m.Name }) {
			c.invalid(at.Child("name"), m.Name, "must not already exist in volumeDevices")
		}
		if slices.ContainsFunc(ctr.VolumeDevices, func(d corev1.VolumeDevice) bool { return d.DevicePath == m.MountPath }) {
			c.invalid(at.Child("mountPath"), m.MountPath, "must not already exist as a path in volumeDevices")
		}
		c.mountOptions(ctr, m, path, at)
	}
}

// mountOptions checks how a volume is mounted. Upstream gives some of these the path of the list, not of the item.
func (c *podCheck) mountOptions(ctr *corev1.Container, m *corev1.VolumeMount, list, at *field.Path) {
	if m.SubPath != "" {
		c.add(descendingPath(m.SubPath, list.Child("subPath"))...)
	}
	if m.SubPathExpr != "" {
		if m.SubPath != "" {
			c.invalid(at.Child("subPathExpr"), m.SubPathExpr, "subPathExpr and subPath are mutually exclusive")
		}
		c.add(descendingPath(m.SubPathExpr, list.Child("subPathExpr"))...)
	}
	if p := m.MountPropagation; p != nil {
		path := list.Child("mountPropagation")
		c.add(OneOf(*p, path, corev1.MountPropagationBidirectional, corev1.MountPropagationHostToContainer, corev1.MountPropagationNone)...)
		if sc := ctr.SecurityContext; *p == corev1.MountPropagationBidirectional && (sc == nil || sc.Privileged == nil || !*sc.Privileged) {
			c.forbidden(path, "Bidirectional mount propagation is available only to privileged containers")
		}
	}
	if r := m.RecursiveReadOnly; r != nil {
		path := list.Child("recursiveReadOnly")
		c.add(OneOf(*r, path, corev1.RecursiveReadOnlyDisabled, corev1.RecursiveReadOnlyEnabled, corev1.RecursiveReadOnlyIfPossible)...)
		if *r != corev1.RecursiveReadOnlyEnabled && *r != corev1.RecursiveReadOnlyIfPossible {
			return
		}
		if !m.ReadOnly {
			c.forbidden(path, "may only be specified when readOnly is true")
		}
		if m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone {
			c.forbidden(path, "may only be specified when mountPropagation is None or not specified")
		}
	}
}

func (c *podCheck) devices(ctr *corev1.Container, path *field.Path) {
	names, paths := map[string]bool{}, map[string]bool{}
	for i, d := range ctr.VolumeDevices {
		at := path.Index(i)
		source := c.volumes[d.Name]
		if d.Name == "" {
			c.required(at.Child("name"), "")
		}
		if names[d.Name] {
			c.invalid(at.Child("name"), d.Name, "must be unique")
		}
		if source == nil {
			c.add(field.NotFound(at.Child("name"), d.Name))
		} else if source.PersistentVolumeClaim == nil && source.Ephemeral == nil {
			c.invalid(at.Child("name"), d.Name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode")
		}
		if d.DevicePath == "" {
			c.required(at.Child("devicePath"), "")
		}
		if paths[d.DevicePath] {
			c.invalid(at.Child("devicePath"), d.DevicePath, "must be unique")
		}
		if len(noBacksteps(d.DevicePath, at)) > 0 {
			c.invalid(at.Child("devicePath"), d.DevicePath, "can not contain backsteps ('..')")
		} else {
			paths[d.DevicePath] = true
		}
		if slices.ContainsFunc(ctr.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == d.Name }) {
			c.invalid(at.Child("name"), d.Name, "must not already exist in volumeMounts")
		}
		if slices.ContainsFunc(ctr.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == d.DevicePath }) {
			c.invalid(at.Child("devicePath"), d.DevicePath, "must not already exist as a path in volumeMounts")
		}
		if d.Name != "" {
			names[d.Name] = true
		}
	}
}
