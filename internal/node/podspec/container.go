package podspec

import (
	"fmt"
	"path/filepath"
	"strings"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/probe"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// EnvLookup finds a variable of a container's environment by name.
func EnvLookup(env []*cri.KeyValue) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, kv := range env {
			if kv.Key == name {
				return string(kv.Value), true
			}
		}
		return "", false
	}
}

// ExpandAll replaces $(NAME) in a command or its arguments by the variables that lookup knows.
func ExpandAll(list []string, lookup func(string) (string, bool)) []string {
	var out []string
	for _, s := range list {
		out = append(out, probe.Expand(s, lookup))
	}
	return out
}

// SubPath is the path below a volume that a mount shows, "" for the volume itself: subPath, or subPathExpr with $(NAME) replaced
// by the container's variables. One that leads out of the volume is an error.
func SubPath(m *corev1.VolumeMount, vars func(string) (string, bool)) (string, error) {
	sub := m.SubPath
	if m.SubPathExpr != "" {
		var missing []string
		sub = probe.Expand(m.SubPathExpr, func(name string) (string, bool) {
			v, ok := vars(name)
			if !ok {
				missing = append(missing, name)
			}
			return v, ok
		})
		if len(missing) > 0 {
			return "", fmt.Errorf("missing value for %q", strings.Join(missing, `", "`))
		}
	}
	if filepath.IsAbs(sub) {
		return "", fmt.Errorf("error SubPath `%s` must not be an absolute path", sub)
	}
	for _, part := range strings.Split(sub, "/") {
		if part == ".." {
			return "", fmt.Errorf("unable to provision SubPath `%s`: must not contain '..'", sub)
		}
	}
	return sub, nil
}

// Mount describes a volume mount to the runtime. path is where the volume, or what is shown of it, lies on the host; rro says that
// the runtime can mount read-only recursively.
func Mount(m *corev1.VolumeMount, path string, readOnly, rro bool) (*cri.Mount, error) {
	out := &cri.Mount{HostPath: path, ContainerPath: Absolute(m.MountPath), Readonly: readOnly}
	if p := m.MountPropagation; p != nil {
		switch *p {
		case corev1.MountPropagationHostToContainer:
			out.Propagation = cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER
		case corev1.MountPropagationBidirectional:
			out.Propagation = cri.MountPropagation_PROPAGATION_BIDIRECTIONAL
		case corev1.MountPropagationNone:
		default:
			return nil, fmt.Errorf("invalid MountPropagation mode: %q", *p)
		}
	}
	if r := m.RecursiveReadOnly; r != nil {
		switch *r {
		case corev1.RecursiveReadOnlyEnabled:
			if !rro {
				return nil, fmt.Errorf("failed to resolve recursive read-only mode: volume %q requested recursive read-only mode, but it is not supported by the runtime", m.Name)
			}
			out.RecursiveReadOnly = true
		case corev1.RecursiveReadOnlyIfPossible:
			out.RecursiveReadOnly = rro
		}
	}
	return out, nil
}

// Absolute is a path in a container; a relative one counts from its root.
func Absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return "/" + path
}

// OOMScore is the oom_score_adj of a container: the kernel kills the process with the highest score first when memory is short.
// Guaranteed and critical pods get -997, best effort ones 1000; a burstable container gets the less, the larger its request is
// as a share of memory, which is what the node has in bytes (0: not known).
func OOMScore(pod *corev1.Pod, c *corev1.Container, memory int64) int64 {
	const guaranteed, bestEffort = -997, 1000
	if pod.Spec.Priority != nil && *pod.Spec.Priority >= 2000000000 || pods.IsStatic(pod) {
		return guaranteed
	}
	switch pods.QoS(pod) {
	case corev1.PodQOSGuaranteed:
		return guaranteed
	case corev1.PodQOSBestEffort:
		return bestEffort
	}
	if memory == 0 {
		return bestEffort - 1
	}
	score := 1000 - 1000*c.Resources.Requests.Memory().Value()/memory
	switch {
	case score < 1000+guaranteed:
		return 1000 + guaranteed
	case score == bestEffort:
		return bestEffort - 1
	}
	return score
}
