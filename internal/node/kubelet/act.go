package kubelet

import (
	"context"
	"os"
	"strings"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/podstate"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/volume"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// mounted is a volume of the pod that is present on the host.
type mounted = volume.Mounted

// sync begins what a pod that is to run needs, if anything.
func (w *worker) sync(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod) {
	now := time.Now()
	if msg := w.k.health.NetworkTrouble(); msg != "" && !pod.Spec.HostNetwork && len(obs.Sandboxes) == 0 {
		if !w.network {
			w.network = true
			w.k.events.Pod(pod, "", corev1.EventTypeWarning, "NetworkNotReady", "network is not ready: %s", msg)
		}
		w.again(now.Add(time.Second))
		w.k.health.Look(ctx)
		return
	}
	if w.failures > 0 && now.Before(w.nextTry) {
		w.again(w.nextTry)
		return
	}
	if !w.prepared && pods.IsStatic(pod) && w.k.predecessor(ctx, pod) {
		w.again(now.Add(100 * time.Millisecond))
		return
	}
	if !w.prepared {
		w.start(ctx, func(ctx context.Context) { w.prepare(ctx, pod) })
		return
	}
	v := podstate.View{Pod: pod, Obs: obs}
	v.Liveness, v.Startup = w.probes.verdicts()
	a := podstate.Step(v)
	changed := w.holdBack(pod, obs, &a, now)
	if a.KillPod || a.CreateSandbox || len(a.Kill)+len(a.Ephemeral)+len(a.Init)+len(a.Main) > 0 {
		w.replaced = a.Replaced(pod)
		w.start(ctx, func(ctx context.Context) { w.act(ctx, pod, obs, a) })
		return
	}
	if changed {
		w.publish(ctx, pod, obs, false, true)
	}
	w.refresh(ctx, pod, now)
	w.prune(ctx, pod, obs)
}

// prepare makes what a pod needs before its sandbox: its control group, directories and volumes.
func (w *worker) prepare(ctx context.Context, pod *corev1.Pod) {
	k := w.k
	if k.cfg.Hollow {
		w.prepared, w.failures = true, 0
		return
	}
	if err := k.cgroups.Ensure(withPids(cgroupPod(pod), k.cfg.PodPids)); err != nil {
		k.events.Pod(pod, "", corev1.EventTypeWarning, "FailedCreatePodContainer", "unable to ensure pod container exists: %v", err)
		w.failed()
		return
	}
	k.balance()
	uid := string(pod.UID)
	for _, dir := range []string{k.cfg.podDir(uid), k.cfg.podDir(uid) + "/volumes", k.cfg.podDir(uid) + "/plugins"} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			k.events.Pod(pod, "", corev1.EventTypeWarning, "Failed", "error making pod data directories: %v", err)
			w.failed()
			return
		}
	}
	k.objects.Register(pod)
	k.objects.Changed(w.uid, pod.ResourceVersion)
	mounts, err := k.volumes.Mount(ctx, pod)
	if err != nil {
		if ctx.Err() == nil {
			k.events.Pod(pod, "", corev1.EventTypeWarning, "FailedMount", "%v", err)
			w.failed()
		}
		return
	}
	w.mounts, w.prepared, w.failures = mounts, true, 0
}

// act does what a step decided. It is upstream's SyncPod after computePodActions.
func (w *worker) act(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod, a podstate.Actions) {
	k := w.k
	if a.CreateSandbox && a.SandboxID != "" {
		k.events.Pod(pod, "", corev1.EventTypeNormal, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
	}
	if a.KillPod {
		if !w.killAll(ctx, pod, obs, nil) {
			w.failed()
			return
		}
		if a.CreateSandbox {
			w.purgeInit(ctx, pod, obs)
		}
	}
	for _, kl := range a.Kill {
		if err := w.kill(ctx, pod, kl, nil, nil); err != nil {
			k.cfg.Log.Warn("container not killed", "pod", pods.Describe(pod), "container", kl.Name, "error", err)
			w.failed()
			return
		}
	}
	sb := &sandboxRun{id: a.SandboxID, ips: obs.IPs()}
	if len(sb.ips) == 0 && pod.Spec.HostNetwork {
		sb.ips = k.node.IPs()
	}
	if a.CreateSandbox && !w.createSandbox(ctx, pod, a.Attempt, sb) {
		return
	}
	if len(a.Ephemeral)+len(a.Init)+len(a.Main) == 0 {
		return
	}
	if sb.cfg == nil {
		var err error
		if sb.cfg, err = k.sandboxConfig(pod, a.Attempt); err != nil {
			k.cfg.Log.Warn("sandbox not described", "pod", pods.Describe(pod), "error", err)
			w.failed()
			return
		}
	}
	for _, i := range a.Ephemeral {
		e := &pod.Spec.EphemeralContainers[i]
		w.startContainer(ctx, pod, (*corev1.Container)(&e.EphemeralContainerCommon), e.TargetContainerName, sb, obs)
	}
	for _, i := range a.Init {
		c := &pod.Spec.InitContainers[i]
		if !w.startContainer(ctx, pod, c, "", sb, obs) && !pods.IsSidecar(c) {
			return
		}
	}
	for _, i := range a.Main {
		w.startContainer(ctx, pod, &pod.Spec.Containers[i], "", sb, obs)
	}
}

// sandboxRun is the sandbox that containers are started in.
type sandboxRun struct {
	id  string
	ips []string
	cfg *cri.PodSandboxConfig
}

func (w *worker) createSandbox(ctx context.Context, pod *corev1.Pod, attempt uint32, sb *sandboxRun) bool {
	k := w.k
	var err error
	if sb.cfg, err = k.sandboxConfig(pod, attempt); err == nil && !k.cfg.Hollow {
		err = os.MkdirAll(sb.cfg.LogDirectory, 0o755)
	}
	if err == nil {
		sb.id, err = k.rt.RunSandbox(ctx, sb.cfg, "")
	}
	if err != nil {
		if ctx.Err() == nil {
			k.events.Pod(pod, "", corev1.EventTypeWarning, "FailedCreatePodSandBox", "Failed to create pod sandbox: %v", err)
			w.failed()
		}
		return false
	}
	w.failures = 0
	w.poke() // the sandbox has an address to show, before images are pulled
	p, err := k.rt.Pod(ctx, w.uid)
	if err != nil {
		k.events.Pod(pod, "", corev1.EventTypeWarning, "FailedPodSandBoxStatus", "Unable to get pod sandbox status: %v", err)
		w.failed()
		return false
	}
	if !pod.Spec.HostNetwork {
		sb.ips = p.IPs()
	}
	return true
}

// startContainer pulls, creates and starts one container and runs its postStart hook. What fails is recorded as the
// reason of waiting.
func (w *worker) startContainer(ctx context.Context, pod *corev1.Pod, c *corev1.Container, target string, sb *sandboxRun, obs *runtime.Pod) bool {
	if ctx.Err() != nil {
		return false
	}
	k := w.k
	if s := obs.Container(c.Name); s != nil && s.State == runtime.Created {
		// A kubelet died between making and starting it. The next one takes its place and its number: it never ran.
		if err := k.removeContainer(ctx, pod, s); err != nil { // it has the name that the next one would need
			k.cfg.Log.Warn("unstarted container stays", "pod", pods.Describe(pod), "container", c.Name, "error", err)
			w.holdOff(c)
			return false
		}
	}
	if s := lastExited(obs, c.Name); s != nil {
		if found, left := k.cgroups.KillContainer(cgroupPod(pod), s.ID); found > 0 {
			k.cfg.Log.Warn("killed processes of a container that had ended", "pod", pods.Describe(pod), "container", c.Name, "processes", found, "left", left)
			if left > 0 {
				w.holdOff(c)
				return false
			}
		}
		w.crash.Next(c.Name+"\x00"+c.Image, s.FinishedAt, time.Now())
	}
	ref, ok := w.image(ctx, pod, c, sb)
	if !ok {
		return false
	}
	fail := func(reason string, err error, id string) bool {
		if ctx.Err() != nil {
			return false
		}
		msg := runtime.ErrorText(err)
		shown := msg
		if id != "" { // ids differ each time; events with them would never count up
			shown = strings.ReplaceAll(shown, id, c.Name)
		}
		k.events.Pod(pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: %s", shown)
		w.failing(c.Name, reason, msg)
		w.holdOff(c)
		return false
	}
	cfg, err := k.containerConfig(ctx, w, pod, c, target, ref, sb, obs)
	if err != nil {
		return fail("CreateContainerConfigError", err, "")
	}
	id, err := k.rt.CreateContainer(ctx, sb.id, cfg, sb.cfg)
	if err != nil {
		return fail("CreateContainerError", err, id)
	}
	k.events.Pod(pod, c.Name, corev1.EventTypeNormal, "Created", "Container created")
	if err := k.rt.StartContainer(ctx, id); err != nil {
		return fail("RunContainerError", err, id)
	}
	k.events.Pod(pod, c.Name, corev1.EventTypeNormal, "Started", "Container started")
	w.failing(c.Name, "", "")
	delete(w.holds, c.Name+"\x00"+c.Image)
	k.linkLog(pod, c.Name, id, sb.cfg.LogDirectory, cfg.LogPath)
	if c.Lifecycle != nil && c.Lifecycle.PostStart != nil {
		w.poke()
		if err := k.hook(ctx, pod, c, id, c.Lifecycle.PostStart, sb.ips); err != nil && ctx.Err() == nil {
			k.cfg.Log.Info("postStart hook failed", "pod", pods.Describe(pod), "container", c.Name, "error", err)
			k.events.Pod(pod, c.Name, corev1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed")
			_ = w.kill(ctx, pod, podstate.Kill{Id: id, Name: c.Name, Message: "FailedPostStartHook", Why: podstate.WhyPostStart}, nil, nil)
			w.failing(c.Name, "PostStartHookError", err.Error())
			return false
		}
	}
	return true
}

// image makes the image of a container present and returns the runtime's reference to it. Without one the container waits, with
// the reason in its status.
func (w *worker) image(ctx context.Context, pod *corev1.Pod, c *corev1.Container, sb *sandboxRun) (ref string, ok bool) {
	ref, missing := w.k.images.Ensure(ctx, pod, c, sb.cfg)
	switch {
	case missing == nil:
		w.pulls.Done(c.Name)
		return ref, true
	case !missing.Pulled:
		w.holdOff(c)
	case ctx.Err() == nil:
		w.pulls.Failed(c.Name, c.Image, *missing, time.Now())
	}
	if ctx.Err() == nil {
		w.k.events.Pod(pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: %s", missing.Reason)
		w.failing(c.Name, missing.Reason, missing.Message)
	}
	return "", false
}
