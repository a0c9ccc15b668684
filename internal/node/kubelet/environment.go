package kubelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/volume"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// environment gathers the sources of a container's environment and computes it.
func (b *base) environment(ctx context.Context, mounts map[string]volume.Mounted, pod *corev1.Pod, c *corev1.Container, ips []string) ([]*cri.KeyValue, error) {
	src := podspec.EnvSources{
		Pod: pod, PodIPs: ips, HostIPs: b.node.IPs(), Allocatable: b.node.Allocatable(),
		ConfigMap: func(name string) (*corev1.ConfigMap, error) { return b.objects.ConfigMap(ctx, pod.Namespace, name) },
		Secret:    func(name string) (*corev1.Secret, error) { return b.objects.Secret(ctx, pod.Namespace, name) },
		File:      func(ref *corev1.FileKeySelector) (string, bool, error) { return envFile(mounts, ref) },
	}
	if s := b.cfg.Services; s != nil {
		select {
		case <-s.Synced():
		default:
			if !pods.IsStatic(pod) {
				return nil, errors.New("services have not yet been read at least once, cannot construct envvars")
			}
		}
		links := pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks
		services := s.List(pod.Namespace)
		if pod.Namespace != "default" {
			if svc, ok := s.Get("default", "kubernetes"); ok {
				services = append(services, svc)
			}
		}
		src.Services = podspec.ServiceEnvironment(services, pod.Namespace, links)
	}
	return podspec.Environment(c, src)
}

// envFile reads a variable out of an env file in a volume of the pod (KEY='value' lines).
func envFile(mounts map[string]volume.Mounted, ref *corev1.FileKeySelector) (string, bool, error) {
	vol, ok := mounts[ref.VolumeName]
	if !ok {
		return "", false, fmt.Errorf("cannot find the volume %q referenced by FileKeyRef", ref.VolumeName)
	}
	root, err := os.OpenRoot(vol.Path)
	if err != nil {
		return "", false, fmt.Errorf("failed to get host path for volume %q: %w", ref.VolumeName, err)
	}
	defer root.Close()
	text, err := root.ReadFile(filepath.Clean(ref.Path))
	if err != nil {
		return "", false, errors.New("couldn't parse env file")
	}
	for _, line := range strings.Split(string(text), "\n") {
		key, value, ok := strings.Cut(line, "=")
		if ok && key == ref.Key {
			value = strings.TrimSpace(value)
			if len(value) >= 2 && value[0] == '\'' && value[len(value)-1] == '\'' {
				value = value[1 : len(value)-1]
			}
			return value, value != "", nil
		}
	}
	return "", false, nil
}

// volumeResource is podspec.ResourceValue for a downward API volume, which always names the container.
func (b *base) volumeResource(pod *corev1.Pod, ref *corev1.ResourceFieldSelector) (string, error) {
	c := pods.Container(pod, ref.ContainerName)
	if c == nil {
		return "", fmt.Errorf("container %s not found", ref.ContainerName)
	}
	return podspec.ResourceValue(ref, c, b.node.Allocatable())
}

// memoryVolumeSize limits a memory-backed emptyDir: to its own limit, to what the pod may use, to what the node has.
func (b *base) memoryVolumeSize(pod *corev1.Pod, v *corev1.EmptyDirVolumeSource) int64 {
	alloc := b.node.Allocatable()
	size := alloc.Memory().Value()
	if p := podspec.Cgroup(pod); p.MemoryLimit > 0 && p.MemoryLimit < size {
		size = p.MemoryLimit
	}
	if v.SizeLimit != nil && v.SizeLimit.Value() > 0 && v.SizeLimit.Value() < size {
		size = v.SizeLimit.Value()
	}
	return size
}
