package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// DropDisabledPodFields clears the fields of a pod spec that belong to features which are off by default in v1.37. If the
// spec that it replaces (nil on create) has such fields in use, from a cluster that had them on, they stay. GenericWorkload can be on:
// DropGroups sees to it.
func DropDisabledPodFields(spec, old *corev1.PodSpec) {
	if old != nil {
		without := old.DeepCopy()
		dropDisabled(without)
		if !equality.Semantic.DeepEqual(without, old) {
			return
		}
	}
	dropDisabled(spec)
}

// DropDisabledTemplateFields is DropDisabledPodFields for the pod template of a workload; old is nil on create.
func DropDisabledTemplateFields(template, old *corev1.PodTemplateSpec) {
	if template == nil {
		return
	}
	var was *corev1.PodSpec
	if old != nil {
		was = &old.Spec
	}
	DropDisabledPodFields(&template.Spec, was)
}

func dropDisabled(spec *corev1.PodSpec) {
	spec.EvictionResponders = nil // EvictionRequestAPI
	for i := range spec.Volumes {
		dropVolumeFields(&spec.Volumes[i])
	}
	eachContainer(spec, func(c *corev1.Container) {
		for i := range c.VolumeMounts {
			c.VolumeMounts[i].BindMountOptions = nil // VolumeBindMountOptions
		}
		for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
			if p == nil {
				continue
			}
			dropHTTPFields(p.HTTPGet)
			if p.GRPC != nil {
				p.GRPC.Mode = nil // GRPCContainerProbeTLS
			}
		}
		if c.Lifecycle == nil {
			return
		}
		if c.Lifecycle.StopSignal != nil { // ContainerStopSignals
			c.Lifecycle.StopSignal = nil
			if *c.Lifecycle == (corev1.Lifecycle{}) {
				c.Lifecycle = nil
				return
			}
		}
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil {
				dropHTTPFields(h.HTTPGet)
			}
		}
	})
}

func dropHTTPFields(get *corev1.HTTPGetAction) {
	if get != nil {
		get.Protocol = nil // H2CContainerProbe
	}
}

// dropVolumeFields clears emptyDir's mode (EmptyDirVolumeMode) and the owners of files (AtomicWriteVolumeUserFields).
func dropVolumeFields(v *corev1.Volume) {
	if v.EmptyDir != nil {
		v.EmptyDir.Mode = nil
	}
	if v.Secret != nil {
		v.Secret.DefaultUser = nil
		dropKeyUsers(v.Secret.Items)
	}
	if v.ConfigMap != nil {
		v.ConfigMap.DefaultUser = nil
		dropKeyUsers(v.ConfigMap.Items)
	}
	if v.DownwardAPI != nil {
		v.DownwardAPI.DefaultUser = nil
		dropFileUsers(v.DownwardAPI.Items)
	}
	if v.Projected == nil {
		return
	}
	v.Projected.DefaultUser = nil
	for i := range v.Projected.Sources {
		s := &v.Projected.Sources[i]
		if s.Secret != nil {
			dropKeyUsers(s.Secret.Items)
		}
		if s.ConfigMap != nil {
			dropKeyUsers(s.ConfigMap.Items)
		}
		if s.DownwardAPI != nil {
			dropFileUsers(s.DownwardAPI.Items)
		}
		if s.ServiceAccountToken != nil {
			s.ServiceAccountToken.User = nil
		}
		if s.ClusterTrustBundle != nil {
			s.ClusterTrustBundle.User = nil
		}
		if s.PodCertificate != nil {
			s.PodCertificate.User = nil
		}
	}
}

func dropKeyUsers(items []corev1.KeyToPath) {
	for i := range items {
		items[i].User = nil
	}
}

func dropFileUsers(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		items[i].User = nil
	}
}
