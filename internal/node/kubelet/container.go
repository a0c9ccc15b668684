package kubelet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/podstate"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// containerConfig describes one container to the runtime. Errors are CreateContainerConfigErrors.
func (k *Kubelet) containerConfig(ctx context.Context, w *worker, pod *corev1.Pod, c *corev1.Container, target, imageRef string, sb *sandboxRun, obs *runtime.Pod) (*cri.ContainerConfig, error) {
	env, err := k.environment(ctx, w, pod, c, sb.ips)
	if err != nil {
		return nil, err
	}
	restarts := 0
	if s := obs.Container(c.Name); s != nil {
		restarts = s.RestartCount
		if s.State != runtime.Created {
			restarts++
		}
	} else if !k.cfg.Hollow { // the runtime forgot; the log files tell how often it ran
		restarts = restartsByLogs(filepath.Join(k.cfg.logDir(pod), c.Name))
	}
	targetID := ""
	if target != "" {
		s := obs.Container(target)
		if s == nil {
			return nil, fmt.Errorf("unable to find target container %v", target)
		}
		targetID = s.ID
	}
	var uid *int64
	user := ""
	if img, err := k.rt.Image(ctx, imageRef); err != nil {
		return nil, err
	} else if img != nil && img.UID != nil {
		uid = img.UID
	} else if img != nil && img.Username != "" {
		user = img.Username
	} else {
		uid = new(int64)
	}
	sc := podspec.EffectiveSecurity(pod, c)
	if err := podspec.VerifyNonRoot(pod, c, sc, uid, user); err != nil {
		return nil, err
	}
	security, err := podspec.ContainerSecurity(pod, sc, uid, user, targetID, filepath.Join(k.cfg.RootDir, "seccomp"))
	if err != nil {
		return nil, err
	}
	vars := podspec.EnvLookup(env)
	mounts, err := k.mounts(w, pod, c, sb.ips, vars)
	if err != nil {
		return nil, err
	}
	res := podspec.LinuxResources(c.Resources.Requests, c.Resources.Limits)
	res.OomScoreAdj = podspec.OOMScore(pod, c, k.memory())
	if k.cgroups.Unified() {
		res.Unified = map[string]string{"memory.oom.group": "1"} // a container dies as a whole
	}
	cfg := &cri.ContainerConfig{
		Metadata:    &cri.ContainerMetadata{Name: c.Name, Attempt: uint32(restarts)},
		Image:       &cri.ImageSpec{Image: imageRef, UserSpecifiedImage: c.Image},
		Command:     podspec.ExpandAll(c.Command, vars),
		Args:        podspec.ExpandAll(c.Args, vars),
		WorkingDir:  c.WorkingDir,
		Envs:        env,
		Mounts:      mounts,
		Labels:      runtime.ContainerLabels(pod, c.Name),
		Annotations: runtime.ContainerAnnotations(pod, c, podstate.HashContainer(c), restarts),
		LogPath:     filepath.Join(c.Name, strconv.Itoa(restarts)+".log"),
		Stdin:       c.Stdin, StdinOnce: c.StdinOnce, Tty: c.TTY,
		Linux: &cri.LinuxContainerConfig{Resources: res, SecurityContext: security},
	}
	if c.Lifecycle != nil {
		cfg.StopSignal = runtime.StopSignal(c.Lifecycle.StopSignal)
	}
	if k.cfg.Hollow {
		return cfg, nil
	}
	if err := os.MkdirAll(filepath.Join(k.cfg.logDir(pod), c.Name), 0o755); err != nil {
		return nil, fmt.Errorf("create container log directory for container %s failed: %v", c.Name, err)
	}
	return cfg, nil
}

var logName = regexp.MustCompile(`^(\d+)\.log(\..*)?`)

// restartsByLogs is one more than the highest restart count that a log file is named for.
func restartsByLogs(dir string) int {
	entries, _ := os.ReadDir(dir)
	n := 0
	for _, e := range entries {
		if m := logName.FindStringSubmatch(e.Name()); m != nil && !e.IsDir() {
			if i, err := strconv.Atoi(m[1]); err == nil {
				n = max(n, i+1)
			}
		}
	}
	return n
}

// mounts are the volumes, the hosts file and the termination message file of a container.
func (k *Kubelet) mounts(w *worker, pod *corev1.Pod, c *corev1.Container, ips []string, vars func(string) (string, bool)) ([]*cri.Mount, error) {
	if k.cfg.Hollow {
		return nil, nil
	}
	var out []*cri.Mount
	ownHosts := false
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		ownHosts = ownHosts || m.MountPath == "/etc/hosts"
		one, err := k.volumeMount(w, pod, c, i, vars)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	if !ownHosts && (pod.Spec.HostNetwork || len(ips) > 0) {
		path, err := k.writeHosts(pod, ips)
		if err != nil {
			return nil, err
		}
		out = append(out, &cri.Mount{HostPath: path, ContainerPath: "/etc/hosts"})
	}
	if c.TerminationMessagePath != "" {
		dir := k.cfg.containerDir(string(pod.UID), c.Name)
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return nil, err
		}
		path := filepath.Join(dir, fmt.Sprintf("%08x", rand.Uint32()))
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			return nil, err
		}
		if err := os.Chmod(path, 0o666); err != nil {
			return nil, err
		}
		out = append(out, &cri.Mount{HostPath: path, ContainerPath: podspec.Absolute(c.TerminationMessagePath)})
	}
	return out, nil
}

// volumeMount is the i-th volume mount of a container.
func (k *Kubelet) volumeMount(w *worker, pod *corev1.Pod, c *corev1.Container, i int, vars func(string) (string, bool)) (*cri.Mount, error) {
	m := &c.VolumeMounts[i]
	vol, ok := w.mounts[m.Name]
	if !ok {
		return nil, fmt.Errorf("cannot find volume %q to mount into container %q", m.Name, c.Name)
	}
	sub, err := podspec.SubPath(m, vars)
	if err != nil {
		return nil, err
	}
	path := vol.Path
	if sub != "" {
		if path, err = k.volumes.Subpath(pod.UID, m.Name, c.Name, i, path, sub); err != nil {
			k.cfg.Log.Warn("sub-path not prepared", "pod", pods.Describe(pod), "container", c.Name, "volume", m.Name, "error", err)
			// The reason may tell of the host's files; the API does not get it.
			return nil, fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q", m.Name, c.Name)
		}
	}
	return podspec.Mount(m, path, m.ReadOnly || vol.ReadOnly, k.health.RecursiveReadOnly())
}

// writeHosts writes a pod's hosts file and returns its path.
func (k *Kubelet) writeHosts(pod *corev1.Pod, ips []string) (string, error) {
	name, domain, err := podspec.Hostname(pod, k.cfg.ClusterDomain)
	if err != nil {
		return "", err
	}
	var own []byte
	if pod.Spec.HostNetwork {
		if own, err = os.ReadFile("/etc/hosts"); err != nil {
			return "", err
		}
	}
	path := k.cfg.hostsFile(string(pod.UID))
	if err := os.WriteFile(path, podspec.Hosts(pod, ips, name, domain, own), 0o644); err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o644)
}

// memory is what the machine has, in bytes.
func (k *Kubelet) memory() int64 {
	list := k.node.Capacity()
	return list.Memory().Value()
}
