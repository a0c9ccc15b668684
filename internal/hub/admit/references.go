package admit

import corev1 "k8s.io/api/core/v1"

// apiReference names, in upstream's words, the first kind of API object that pod refers to, or "". A mirror pod may not
// refer to any.
func apiReference(pod *corev1.Pod) string {
	if pod.Spec.ServiceAccountName != "" {
		return "serviceaccounts"
	}
	if len(pod.Spec.ImagePullSecrets) > 0 {
		return "secrets"
	}
	secrets, configMaps := environment(pod)
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		secrets = secrets || secretVolume(v)
		configMaps = configMaps || v.ConfigMap != nil || projects(v, func(s *corev1.VolumeProjection) bool { return s.ConfigMap != nil })
	}
	switch {
	case secrets:
		return "secrets"
	case configMaps:
		return "configmaps"
	case len(pod.Spec.ResourceClaims) > 0:
		return "resourceclaims"
	}
	for i := range pod.Spec.Volumes {
		if r := volumeReference(&pod.Spec.Volumes[i]); r != "" {
			return r
		}
	}
	return ""
}

func environment(pod *corev1.Pod) (secrets, configMaps bool) {
	look := func(env []corev1.EnvVar, from []corev1.EnvFromSource) {
		for _, e := range env {
			if e.ValueFrom != nil {
				secrets = secrets || e.ValueFrom.SecretKeyRef != nil
				configMaps = configMaps || e.ValueFrom.ConfigMapKeyRef != nil
			}
		}
		for _, f := range from {
			secrets = secrets || f.SecretRef != nil
			configMaps = configMaps || f.ConfigMapRef != nil
		}
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			look(list[i].Env, list[i].EnvFrom)
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		look(pod.Spec.EphemeralContainers[i].Env, pod.Spec.EphemeralContainers[i].EnvFrom)
	}
	return secrets, configMaps
}

func secretVolume(v *corev1.Volume) bool {
	return v.Secret != nil || v.AzureFile != nil || v.CephFS != nil && v.CephFS.SecretRef != nil || v.Cinder != nil && v.Cinder.SecretRef != nil ||
		v.FlexVolume != nil && v.FlexVolume.SecretRef != nil || v.RBD != nil && v.RBD.SecretRef != nil || v.ScaleIO != nil && v.ScaleIO.SecretRef != nil ||
		v.ISCSI != nil && v.ISCSI.SecretRef != nil || v.StorageOS != nil && v.StorageOS.SecretRef != nil || v.CSI != nil && v.CSI.NodePublishSecretRef != nil ||
		projects(v, func(s *corev1.VolumeProjection) bool { return s.Secret != nil })
}

func projects(v *corev1.Volume, is func(*corev1.VolumeProjection) bool) bool {
	if v.Projected != nil {
		for i := range v.Projected.Sources {
			if is(&v.Projected.Sources[i]) {
				return true
			}
		}
	}
	return false
}

func volumeReference(v *corev1.Volume) string {
	switch {
	case v.CSI != nil:
		return "csidrivers (via CSI volumes)"
	case v.Glusterfs != nil:
		return "endpoints (via glusterFS volumes)"
	case v.PersistentVolumeClaim != nil:
		return "persistentvolumeclaims"
	case v.Ephemeral != nil:
		return "persistentvolumeclaims (via ephemeral volumes)"
	case projects(v, func(s *corev1.VolumeProjection) bool { return s.ServiceAccountToken != nil }):
		return "serviceaccounts (via projected volumes)"
	case projects(v, func(s *corev1.VolumeProjection) bool { return s.ClusterTrustBundle != nil }):
		return "clustertrustbundles"
	case projects(v, func(s *corev1.VolumeProjection) bool { return s.PodCertificate != nil }):
		return "podcertificates"
	}
	return ""
}
