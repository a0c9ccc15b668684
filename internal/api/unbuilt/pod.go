package unbuilt

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// podGaps is the literal list for pods and the templates of workloads.
var podGaps = []PodGap{
	{
		Feature: "volumes of this type", Effect: "the pod waits for it and does not start", Actor: Kubelet,
		uses: func(path *field.Path, s *corev1.PodSpec) []*field.Path { return volumes(path, s, unmountable) },
	},
	{
		Feature: "seLinuxChangePolicy", Effect: "volumes are labelled file by file", Actor: Kubelet,
		Fields: []string{"PodSecurityContext.SELinuxChangePolicy"},
		uses: func(path *field.Path, s *corev1.PodSpec) []*field.Path {
			sc := s.SecurityContext
			on := sc != nil && sc.SELinuxChangePolicy != nil && *sc.SELinuxChangePolicy != corev1.SELinuxChangePolicyRecursive
			return when(on, path, "securityContext", "seLinuxChangePolicy")
		},
	},
}

// unmountable names the source of a volume that the kubelet has no plugin for, as the field under the volume.
func unmountable(v *corev1.Volume) string {
	switch {
	case v.ISCSI != nil:
		return "iscsi"
	case v.FC != nil:
		return "fc"
	}
	return ""
}

// when returns the one path if on.
func when(on bool, path *field.Path, name string, more ...string) []*field.Path {
	if !on {
		return nil
	}
	return []*field.Path{path.Child(name, more...)}
}

// volumes returns the paths of the volumes in which find names something.
func volumes(path *field.Path, s *corev1.PodSpec, find func(*corev1.Volume) string) []*field.Path {
	var out []*field.Path
	for i := range s.Volumes {
		if name := find(&s.Volumes[i]); name != "" {
			out = append(out, path.Child("volumes").Index(i).Child(name))
		}
	}
	return out
}
