package pods

import corev1 "k8s.io/api/core/v1"

// References calls add for each object of its namespace that a pod names: service account, secrets, config maps, claims of volumes and
// of devices, by resource and name. Names may come more than once. Volumes that are not the pod's own to name are left out.
func References(pod *corev1.Pod, add func(resource, name string)) {
	some := func(resource, name string) {
		if name != "" {
			add(resource, name)
		}
	}
	some("serviceaccounts", pod.Spec.ServiceAccountName)
	for _, s := range pod.Spec.ImagePullSecrets {
		some("secrets", s.Name)
	}
	eachContainer(pod, func(env []corev1.EnvVar, from []corev1.EnvFromSource) {
		for _, e := range env {
			if e.ValueFrom == nil {
				continue
			}
			if r := e.ValueFrom.SecretKeyRef; r != nil {
				some("secrets", r.Name)
			}
			if r := e.ValueFrom.ConfigMapKeyRef; r != nil {
				some("configmaps", r.Name)
			}
		}
		for _, f := range from {
			if f.SecretRef != nil {
				some("secrets", f.SecretRef.Name)
			}
			if f.ConfigMapRef != nil {
				some("configmaps", f.ConfigMapRef.Name)
			}
		}
	})
	for i := range pod.Spec.Volumes {
		volumeReferences(pod, &pod.Spec.Volumes[i], some)
	}
	for _, s := range pod.Status.ResourceClaimStatuses {
		if s.ResourceClaimName != nil {
			some("resourceclaims", *s.ResourceClaimName)
		}
	}
	for _, c := range pod.Spec.ResourceClaims {
		if c.ResourceClaimName != nil {
			some("resourceclaims", *c.ResourceClaimName)
		}
	}
}

func eachContainer(pod *corev1.Pod, fn func([]corev1.EnvVar, []corev1.EnvFromSource)) {
	for i := range pod.Spec.InitContainers {
		fn(pod.Spec.InitContainers[i].Env, pod.Spec.InitContainers[i].EnvFrom)
	}
	for i := range pod.Spec.Containers {
		fn(pod.Spec.Containers[i].Env, pod.Spec.Containers[i].EnvFrom)
	}
	for i := range pod.Spec.EphemeralContainers {
		fn(pod.Spec.EphemeralContainers[i].Env, pod.Spec.EphemeralContainers[i].EnvFrom)
	}
}

func volumeReferences(pod *corev1.Pod, v *corev1.Volume, add func(resource, name string)) {
	local := func(r *corev1.LocalObjectReference) {
		if r != nil {
			add("secrets", r.Name)
		}
	}
	switch {
	case v.Secret != nil:
		add("secrets", v.Secret.SecretName)
	case v.ConfigMap != nil:
		add("configmaps", v.ConfigMap.Name)
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			if s.Secret != nil {
				add("secrets", s.Secret.Name)
			}
			if s.ConfigMap != nil {
				add("configmaps", s.ConfigMap.Name)
			}
		}
	case v.PersistentVolumeClaim != nil:
		add("persistentvolumeclaims", v.PersistentVolumeClaim.ClaimName)
	case v.Ephemeral != nil:
		add("persistentvolumeclaims", pod.Name+"-"+v.Name)
	case v.CSI != nil:
		local(v.CSI.NodePublishSecretRef)
	case v.AzureFile != nil:
		add("secrets", v.AzureFile.SecretName)
	case v.CephFS != nil:
		local(v.CephFS.SecretRef)
	case v.Cinder != nil:
		local(v.Cinder.SecretRef)
	case v.FlexVolume != nil:
		local(v.FlexVolume.SecretRef)
	case v.RBD != nil:
		local(v.RBD.SecretRef)
	case v.ScaleIO != nil:
		local(v.ScaleIO.SecretRef)
	case v.ISCSI != nil:
		local(v.ISCSI.SecretRef)
	case v.StorageOS != nil:
		local(v.StorageOS.SecretRef)
	}
}
