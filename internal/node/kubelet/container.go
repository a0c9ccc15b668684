package kubelet

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"sampan.dev/internal/node/podhost"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/podstate"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/volume"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// sandboxRun is the sandbox that containers are started in.
type sandboxRun struct {
	id  string
	ips []string
	cfg *cri.PodSandboxConfig

	images map[string]*cri.ImageSpec // of the volumes that are images, by the volume's name
}

// containerConfig describes one container of a pod to the runtime. target names the container whose processes an ephemeral one
// shares. Errors are CreateContainerConfigErrors.
func (b *base) containerConfig(ctx context.Context, volumes map[string]volume.Mounted, pod *corev1.Pod, c *corev1.Container, target, imageRef string, sb *sandboxRun, obs *runtime.Pod) (*cri.ContainerConfig, error) {
	env, err := b.environment(ctx, volumes, pod, c, sb.ips)
	if err != nil {
		return nil, err
	}
	restarts := 0
	if s := obs.Container(c.Name); s != nil {
		restarts = s.RestartCount
		if s.State != runtime.Created {
			restarts++
		}
	} else { // the runtime forgot; the log files tell how often it ran
		restarts = b.machine.Restarts(pod, c.Name)
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
	if img, err := b.rt.Image(ctx, imageRef); err != nil {
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
	security, err := podspec.ContainerSecurity(pod, sc, uid, user, targetID, filepath.Join(b.cfg.RootDir, "seccomp"))
	if err != nil {
		return nil, err
	}
	if u := sb.cfg.GetLinux().GetSecurityContext().GetNamespaceOptions().GetUsernsOptions(); u != nil {
		security.NamespaceOptions.UsernsOptions = u
	}
	vars := podspec.EnvLookup(env)
	what := podhost.Mounting{Pod: pod, Container: c, Volumes: volumes, IPs: sb.ips, Vars: vars, Images: sb.images, Recursive: b.health.RecursiveReadOnly()}
	mounts, err := b.machine.Mounts(what)
	if err != nil {
		return nil, err
	}
	for _, m := range mounts { // what the pod's users own there is shown as theirs; nothing on the host changes hands
		m.UidMappings, m.GidMappings = security.NamespaceOptions.UsernsOptions.GetUids(), security.NamespaceOptions.UsernsOptions.GetGids()
	}
	devices, err := podhost.Devices(what)
	if err != nil {
		return nil, err
	}
	effective := podspec.Effective(pod, c)
	res := podspec.LinuxResources(effective.Requests, effective.Limits)
	res.HugepageLimits = podspec.HugePages(pod, c, b.pageSizes)
	res.OomScoreAdj = podspec.OOMScore(pod, c, b.memory())
	b.cfg.Memory.Apply(res, pod, c, b.memoryHost())
	cfg := &cri.ContainerConfig{
		Metadata:    &cri.ContainerMetadata{Name: c.Name, Attempt: uint32(restarts)},
		Image:       &cri.ImageSpec{Image: imageRef, UserSpecifiedImage: c.Image},
		Command:     podspec.ExpandAll(c.Command, vars),
		Args:        podspec.ExpandAll(c.Args, vars),
		WorkingDir:  c.WorkingDir,
		Envs:        env,
		Mounts:      mounts,
		Devices:     devices,
		Labels:      runtime.ContainerLabels(pod, c.Name),
		Annotations: runtime.ContainerAnnotations(pod, c, podstate.HashContainer(c), restarts),
		LogPath:     filepath.Join(c.Name, strconv.Itoa(restarts)+".log"),
		Stdin:       c.Stdin, StdinOnce: c.StdinOnce, Tty: c.TTY,
		Linux: &cri.LinuxContainerConfig{Resources: res, SecurityContext: security},
	}
	if c.Lifecycle != nil {
		cfg.StopSignal = runtime.StopSignal(c.Lifecycle.StopSignal)
	}
	if b.place != nil {
		if err := b.place.Prepare(ctx, pod, c, cfg); err != nil {
			return nil, err
		}
	}
	if b.dra != nil {
		devices, err := b.dra.Devices(pod, c)
		if err != nil {
			return nil, err
		}
		cfg.CDIDevices = append(cfg.CDIDevices, devices...)
	}
	return cfg, b.machine.MakeLogs(pod, c.Name)
}

// memoryHost is what of the machine the rules of memory depend on.
func (b *base) memoryHost() podspec.MemoryHost {
	list := b.node.Allocatable()
	return podspec.MemoryHost{Unified: b.cgroups.Unified(), Swappable: b.swappable, Total: b.memory(), Swap: b.node.Swap(), Allocatable: list.Memory().Value()}
}

// memory is what the machine has, in bytes.
func (b *base) memory() int64 {
	list := b.node.Capacity()
	return list.Memory().Value()
}
