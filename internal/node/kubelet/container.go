package kubelet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"sampan.dev/internal/node/probe"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func replaceAll(s, old, by string) string { return strings.ReplaceAll(s, old, by) }

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
	sc := effective(pod, c)
	if err := verifyNonRoot(pod, c, sc, uid, user); err != nil {
		return nil, err
	}
	security, err := containerSecurity(pod, sc, uid, user, targetID, filepath.Join(k.cfg.RootDir, "seccomp"))
	if err != nil {
		return nil, err
	}
	vars := envLookup(env)
	mounts, err := k.mounts(w, pod, c, sb.ips, vars)
	if err != nil {
		return nil, err
	}
	res := linuxResources(c.Resources.Requests, c.Resources.Limits)
	res.OomScoreAdj = k.oomScore(pod, c)
	if k.cgroups.Unified() {
		res.Unified = map[string]string{"memory.oom.group": "1"} // a container dies as a whole
	}
	cfg := &cri.ContainerConfig{
		Metadata:    &cri.ContainerMetadata{Name: c.Name, Attempt: uint32(restarts)},
		Image:       &cri.ImageSpec{Image: imageRef, UserSpecifiedImage: c.Image},
		Command:     expandAll(c.Command, vars),
		Args:        expandAll(c.Args, vars),
		WorkingDir:  c.WorkingDir,
		Envs:        env,
		Mounts:      mounts,
		Labels:      runtime.ContainerLabels(pod, c.Name),
		Annotations: runtime.ContainerAnnotations(pod, c, hashContainer(c), restarts),
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

func envLookup(env []*cri.KeyValue) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, kv := range env {
			if kv.Key == name {
				return string(kv.Value), true
			}
		}
		return "", false
	}
}

func expandAll(list []string, lookup func(string) (string, bool)) []string {
	var out []string
	for _, s := range list {
		out = append(out, probe.Expand(s, lookup))
	}
	return out
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
		out = append(out, &cri.Mount{HostPath: path, ContainerPath: absolute(c.TerminationMessagePath)})
	}
	return out, nil
}

func absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return "/" + path
}

// volumeMount is the i-th volume mount of a container.
func (k *Kubelet) volumeMount(w *worker, pod *corev1.Pod, c *corev1.Container, i int, vars func(string) (string, bool)) (*cri.Mount, error) {
	m := &c.VolumeMounts[i]
	vol, ok := w.mounts[m.Name]
	if !ok {
		return nil, fmt.Errorf("cannot find volume %q to mount into container %q", m.Name, c.Name)
	}
	path, sub := vol.Path, m.SubPath
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
			return nil, fmt.Errorf("missing value for %q", strings.Join(missing, `", "`))
		}
	}
	if sub != "" {
		var err error
		if filepath.IsAbs(sub) {
			return nil, fmt.Errorf("error SubPath `%s` must not be an absolute path", sub)
		}
		for _, part := range strings.Split(sub, "/") {
			if part == ".." {
				return nil, fmt.Errorf("unable to provision SubPath `%s`: must not contain '..'", sub)
			}
		}
		if path, err = k.volumes.Subpath(pod.UID, m.Name, c.Name, i, path, sub); err != nil {
			k.cfg.Log.Warn("sub-path not prepared", "pod", podDesc(pod), "container", c.Name, "volume", m.Name, "error", err)
			// The reason may tell of the host's files; the API does not get it.
			return nil, fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q", m.Name, c.Name)
		}
	}
	out := &cri.Mount{HostPath: path, ContainerPath: absolute(m.MountPath), Readonly: m.ReadOnly || vol.ReadOnly}
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
			if !k.rro.Load() {
				return nil, fmt.Errorf("failed to resolve recursive read-only mode: volume %q requested recursive read-only mode, but it is not supported by the runtime", m.Name)
			}
			out.RecursiveReadOnly = true
		case corev1.RecursiveReadOnlyIfPossible:
			out.RecursiveReadOnly = k.rro.Load()
		}
	}
	return out, nil
}

// oomScore says whom the kernel kills first when memory is short: guaranteed pods last, best effort first, between them by
// the share of memory asked for.
func (k *Kubelet) oomScore(pod *corev1.Pod, c *corev1.Container) int64 {
	const guaranteed, bestEffort = -997, 1000
	if pod.Spec.Priority != nil && *pod.Spec.Priority >= 2000000000 || isStatic(pod) {
		return guaranteed
	}
	switch qosOf(pod) {
	case corev1.PodQOSGuaranteed:
		return guaranteed
	case corev1.PodQOSBestEffort:
		return bestEffort
	}
	capacity := k.capacity()
	mem := capacity[corev1.ResourceMemory]
	if mem.IsZero() {
		return bestEffort - 1
	}
	score := 1000 - 1000*c.Resources.Requests.Memory().Value()/mem.Value()
	switch {
	case score < 1000+guaranteed:
		return 1000 + guaranteed
	case score == bestEffort:
		return bestEffort - 1
	}
	return score
}
