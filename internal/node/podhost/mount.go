package podhost

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/volume"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Mounting is what the mounts of one container are made from.
type Mounting struct {
	Pod       *corev1.Pod
	Container *corev1.Container
	Volumes   map[string]volume.Mounted // of the pod, as Prepare has made them
	IPs       []string                  // of the pod
	Vars      func(name string) (string, bool)
	Images    map[string]*cri.ImageSpec // of the volumes that are images
	Recursive bool                      // the runtime can mount a tree of mounts read-only
}

// Mounts are the volumes, the hosts file and the termination message file of a container, which are made. Errors are those of
// a CreateContainerConfigError.
func (m *Machine) Mounts(a Mounting) ([]*cri.Mount, error) {
	var out []*cri.Mount
	ownHosts := false
	for i := range a.Container.VolumeMounts {
		ownHosts = ownHosts || a.Container.VolumeMounts[i].MountPath == "/etc/hosts"
		one, err := m.mount(a, i)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	if !ownHosts && (a.Pod.Spec.HostNetwork || len(a.IPs) > 0) {
		path, err := m.writeHosts(a.Pod, a.IPs)
		if err != nil {
			return nil, err
		}
		out = append(out, &cri.Mount{HostPath: path, ContainerPath: "/etc/hosts"})
	}
	if a.Container.TerminationMessagePath != "" {
		path, err := m.terminationFile(a.Pod.UID, a.Container.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, &cri.Mount{HostPath: path, ContainerPath: podspec.Absolute(a.Container.TerminationMessagePath)})
	}
	return out, nil
}

// mount is the i-th volume mount of a container.
func (m *Machine) mount(a Mounting, i int) (*cri.Mount, error) {
	c := a.Container
	vm := &c.VolumeMounts[i]
	vol, ok := a.Volumes[vm.Name]
	if img := a.Images[vm.Name]; img != nil {
		return imageMount(a, vm, img)
	}
	if !ok {
		return nil, fmt.Errorf("cannot find volume %q to mount into container %q", vm.Name, c.Name)
	}
	sub, err := podspec.SubPath(vm, a.Vars)
	if err != nil {
		return nil, err
	}
	path := vol.Path
	if sub != "" {
		if path, err = m.volumes.Subpath(a.Pod.UID, vm.Name, c.Name, i, path, sub); err != nil {
			m.cfg.Log.Warn("sub-path not prepared", "pod", pods.Describe(a.Pod), "container", c.Name, "volume", vm.Name, "error", err)
			// The reason may tell of the host's files; the API does not get it.
			return nil, fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q", vm.Name, c.Name)
		}
	}
	return podspec.Mount(vm, path, vm.ReadOnly || vol.ReadOnly, a.Recursive)
}

// imageMount shows an image, or a directory of it, which the runtime mounts: read-only, as nobody may change an image.
func imageMount(a Mounting, vm *corev1.VolumeMount, img *cri.ImageSpec) (*cri.Mount, error) {
	sub, err := podspec.SubPath(vm, a.Vars)
	if err != nil {
		return nil, err
	}
	out, err := podspec.Mount(vm, "", true, a.Recursive)
	if err == nil {
		out.Image, out.ImageSubPath = img, sub
	}
	return out, err
}

// Devices are the block devices of claims that a container has.
func Devices(a Mounting) ([]*cri.Device, error) {
	var out []*cri.Device
	for _, d := range a.Container.VolumeDevices {
		vol, ok := a.Volumes[d.Name]
		if !ok || vol.Device == "" {
			return nil, fmt.Errorf("cannot find volume %q to pass into container %q", d.Name, a.Container.Name)
		}
		rights := "mrw"
		if vol.ReadOnly {
			rights = "r"
		}
		out = append(out, &cri.Device{HostPath: vol.Device, ContainerPath: d.DevicePath, Permissions: rights})
	}
	return out, nil
}

// writeHosts writes a pod's hosts file and returns its path.
func (m *Machine) writeHosts(pod *corev1.Pod, ips []string) (string, error) {
	name, domain, err := podspec.Hostname(pod, m.cfg.ClusterDomain)
	if err != nil {
		return "", err
	}
	var own []byte
	if pod.Spec.HostNetwork {
		if own, err = os.ReadFile("/etc/hosts"); err != nil {
			return "", err
		}
	}
	path := m.cfg.hosts(pod.UID)
	if err := os.WriteFile(path, podspec.Hosts(pod, ips, name, domain, own), 0o644); err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o644)
}

// terminationFile makes the file that a run of a container may write its last words to. Each run has another.
func (m *Machine) terminationFile(uid types.UID, container string) (string, error) {
	dir := m.cfg.container(uid, container)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	path := filepath.Join(dir, fmt.Sprintf("%08x", rand.Uint32()))
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o666) // whatever the umask is
}
