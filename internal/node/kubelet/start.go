package kubelet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/allocation"
	"sampan.dev/internal/node/image"
	"sampan.dev/internal/node/metrics"
	"sampan.dev/internal/node/podhost"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/podstate"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// prepare makes what a pod needs before its sandbox: its control group, directories and volumes.
func (o *operation) prepare(ctx context.Context, pod *corev1.Pod) {
	mounts, err := o.machine.Prepare(ctx, pod)
	if err == nil {
		err = o.alloc.Flush() // what it was given outlives us from here on
		if err != nil {
			err = &podhost.Failure{Reason: "FailedCreatePodContainer", Err: err}
		}
	}
	if err == nil {
		o.roster.balance(o.cgroups, o.cfg.Memory, o.cfg.Log)
		o.mounts, o.prepared, o.failures = mounts, true, 0
		return
	}
	var failure *podhost.Failure
	if errors.As(err, &failure) && ctx.Err() == nil {
		o.events.Pod(pod, "", corev1.EventTypeWarning, failure.Reason, "%v", err)
		o.failed()
	}
}

// act does what a step decided. It is upstream's SyncPod after computePodActions.
func (o *operation) act(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod, a podstate.Actions) {
	if a.CreateSandbox && a.SandboxID != "" {
		o.events.Pod(pod, "", corev1.EventTypeNormal, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
	}
	if a.KillPod {
		if !o.killAll(ctx, pod, obs, nil) {
			o.failed()
			return
		}
		if a.CreateSandbox {
			o.purgeInit(ctx, pod, obs)
		}
	}
	for _, kl := range a.Kill {
		if err := o.kill(ctx, pod, kl, nil, nil); err != nil {
			o.cfg.Log.Warn("container not killed", "pod", pods.Describe(pod), "container", kl.Name, "error", err)
			o.failed()
			return
		}
	}
	if len(a.Reset) > 0 {
		o.reset(ctx, pod, obs, a.Reset)
		return
	}
	sb := &sandboxRun{id: a.SandboxID, ips: obs.IPs()}
	if len(sb.ips) == 0 && pod.Spec.HostNetwork {
		sb.ips = o.node.IPs()
	}
	if a.CreateSandbox && !o.createSandbox(ctx, pod, a.Attempt, sb) {
		return
	}
	if len(a.Ephemeral)+len(a.Init)+len(a.Main) == 0 && !a.Resize.Any() {
		return
	}
	if sb.cfg == nil {
		var err error
		if sb.cfg, err = o.sandboxConfig(ctx, pod, a.Attempt); err != nil {
			o.cfg.Log.Warn("sandbox not described", "pod", pods.Describe(pod), "error", err)
			o.failed()
			return
		}
	}
	for _, i := range a.Ephemeral {
		e := &pod.Spec.EphemeralContainers[i]
		o.startContainer(ctx, pod, (*corev1.Container)(&e.EphemeralContainerCommon), e.TargetContainerName, sb, obs)
	}
	for _, i := range a.Init {
		c := &pod.Spec.InitContainers[i]
		if !o.startContainer(ctx, pod, c, "", sb, obs) && !pods.IsSidecar(c) {
			return
		}
	}
	if a.Resize.Any() {
		o.actuate(ctx, pod, sb.id, &a.Resize)
	}
	for _, i := range a.Main {
		o.startContainer(ctx, pod, &pod.Spec.Containers[i], "", sb, obs)
	}
}

// actuate resizes a pod, tells how that ended and puts the next attempt off after a failure.
func (o *operation) actuate(ctx context.Context, pod *corev1.Pod, sandbox string, r *podstate.Resize) {
	err := o.actuator.Resize(ctx, pod, sandbox, r)
	o.roster.balance(o.cgroups, o.cfg.Memory, o.cfg.Log)
	if err == nil || ctx.Err() != nil {
		o.failedResize = 0
		return
	}
	o.cfg.Log.Warn("pod not resized", "pod", pods.Describe(pod), "error", err)
	if generation, news := o.resize.UnderWay(corev1.PodReasonError, err.Error(), pod.Generation, time.Now()); news {
		o.events.Pod(pod, "", corev1.EventTypeWarning, "ResizeError", "%s", allocation.Message("Pod resize error", pod, generation, err.Error()))
	}
	o.nextResize = time.Now().Add(jitter(min(10*time.Second<<min(o.failedResize, 3), time.Minute)))
	o.failedResize++
}

// createSandbox makes the sandbox of a pod and notes it in sb. It reports whether there is one now.
func (o *operation) createSandbox(ctx context.Context, pod *corev1.Pod, attempt uint32, sb *sandboxRun) bool {
	err := o.claimed(ctx, pod)
	if err != nil {
		if ctx.Err() == nil {
			o.events.Pod(pod, "", corev1.EventTypeWarning, "FailedPrepareDynamicResources", "Failed to prepare dynamic resources: %v", err)
			o.failed()
		}
		return false
	}
	own := pod.Spec.HostUsers != nil && !*pod.Spec.HostUsers
	o.counts.Add(metrics.StartedPods)
	if own {
		o.counts.Add(metrics.StartedUserNamespacedPods)
	}
	if sb.cfg, err = o.sandboxConfig(ctx, pod, attempt); err == nil {
		err = o.machine.MakeLogs(pod, "")
	}
	handler := ""
	if err == nil {
		handler, err = o.objects.RuntimeHandler(ctx, pod)
	}
	if err == nil {
		begin := time.Now()
		if sb.id, err = o.rt.RunSandbox(ctx, sb.cfg, handler); err != nil {
			o.counts.Add(metrics.SandboxErrors, handler)
		}
		o.counts.Took(metrics.SandboxRun, time.Since(begin), handler)
	}
	if err != nil {
		o.counts.Add(metrics.StartedPodErrors)
		if own {
			o.counts.Add(metrics.StartedUserNamespacedPodErrors)
		}
		if ctx.Err() == nil {
			o.events.Pod(pod, "", corev1.EventTypeWarning, "FailedCreatePodSandBox", "Failed to create pod sandbox: %v", err)
			o.failed()
		}
		return false
	}
	o.failures = 0
	o.poke() // the sandbox has an address to show, before images are pulled
	p, err := o.rt.Pod(ctx, o.uid)
	if err != nil {
		o.events.Pod(pod, "", corev1.EventTypeWarning, "FailedPodSandBoxStatus", "Unable to get pod sandbox status: %v", err)
		o.failed()
		return false
	}
	if !pod.Spec.HostNetwork {
		sb.ips = p.IPs()
	}
	return true
}

// startContainer pulls, creates and starts one container and runs its postStart hook. What fails is recorded as the
// reason of waiting.
func (o *operation) startContainer(ctx context.Context, pod *corev1.Pod, c *corev1.Container, target string, sb *sandboxRun, obs *runtime.Pod) bool {
	if ctx.Err() != nil {
		return false
	}
	if s := obs.Container(c.Name); s != nil && s.State == runtime.Created {
		// A kubelet died between making and starting it. The next one takes its place and its number: it never ran.
		if err := o.removeContainer(ctx, pod, s); err != nil { // it has the name that the next one would need
			o.cfg.Log.Warn("unstarted container stays", "pod", pods.Describe(pod), "container", c.Name, "error", err)
			o.holdOff(c)
			return false
		}
	}
	if s := lastExited(obs, c.Name); s != nil {
		if found, left := o.cgroups.KillContainer(podspec.Cgroup(pod), s.ID); found > 0 {
			o.cfg.Log.Warn("killed processes of a container that had ended", "pod", pods.Describe(pod), "container", c.Name, "processes", found, "left", left)
			if left > 0 {
				o.holdOff(c)
				return false
			}
		}
		o.crash.Next(c.Name+"\x00"+c.Image, s.FinishedAt, time.Now())
	}
	o.counts.Add(metrics.StartedContainers, sortOf(pod, c))
	ref, ok := o.image(ctx, pod, c, sb)
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
		o.counts.Add(metrics.StartedContainerErrors, sortOf(pod, c), reason)
		o.events.Pod(pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: %s", shown)
		o.failing(c.Name, reason, msg)
		o.holdOff(c)
		return false
	}
	cfg, err := o.containerConfig(ctx, o.mounts, pod, c, target, ref, sb, obs)
	if err != nil {
		return fail("CreateContainerConfigError", err, "")
	}
	if err := o.noteActuated(pod, c); err != nil {
		return fail("CreateContainerConfigError", err, "")
	}
	id, err := o.rt.CreateContainer(ctx, sb.id, cfg, sb.cfg)
	if err != nil {
		return fail("CreateContainerError", err, id)
	}
	o.events.Pod(pod, c.Name, corev1.EventTypeNormal, "Created", "Container created")
	if err := o.rt.StartContainer(ctx, id); err != nil {
		return fail("RunContainerError", err, id)
	}
	o.events.Pod(pod, c.Name, corev1.EventTypeNormal, "Started", "Container started")
	o.failing(c.Name, "", "")
	delete(o.holds, c.Name+"\x00"+c.Image)
	o.machine.LinkLog(pod, c.Name, id, cfg.LogPath)
	if c.Lifecycle != nil && c.Lifecycle.PostStart != nil {
		o.poke()
		if err := o.hook(ctx, pod, c, id, c.Lifecycle.PostStart, sb.ips); err != nil && ctx.Err() == nil {
			o.cfg.Log.Info("postStart hook failed", "pod", pods.Describe(pod), "container", c.Name, "error", err)
			o.events.Pod(pod, c.Name, corev1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed")
			_ = o.kill(ctx, pod, podstate.Kill{Id: id, Name: c.Name, Message: "FailedPostStartHook", Why: podstate.WhyPostStart}, nil, nil)
			o.failing(c.Name, "PostStartHookError", err.Error())
			return false
		}
	}
	return true
}

// imageVolumes makes the images present that a container mounts, and notes them in sb. It returns why one is not.
func (o *operation) imageVolumes(ctx context.Context, pod *corev1.Pod, c *corev1.Container, sb *sandboxRun) *image.Missing {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Image == nil || !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == v.Name }) {
			continue
		}
		o.counts.Add(metrics.ImageVolumesRequested)
		ref, missing := o.images.Ensure(ctx, pod, image.Want{Image: v.Image.Reference, Policy: v.Image.PullPolicy}, sb.cfg)
		if missing != nil {
			o.counts.Add(metrics.ImageVolumeErrors)
			return missing
		}
		o.counts.Add(metrics.ImageVolumesMounted)
		if sb.images == nil {
			sb.images = map[string]*cri.ImageSpec{}
		}
		sb.images[v.Name] = &cri.ImageSpec{Image: ref, UserSpecifiedImage: v.Image.Reference, Annotations: pod.Annotations}
	}
	return nil
}

// image makes the image of a container present and returns the runtime's reference to it. Without one the container waits, with
// the reason in its status.
func (o *operation) image(ctx context.Context, pod *corev1.Pod, c *corev1.Container, sb *sandboxRun) (ref string, ok bool) {
	ref, missing := o.images.Ensure(ctx, pod, image.Want{Image: c.Image, Policy: c.ImagePullPolicy, Container: c.Name}, sb.cfg)
	if missing == nil {
		missing = o.imageVolumes(ctx, pod, c, sb)
	}
	switch {
	case missing == nil:
		o.pulls.Done(c.Name)
		return ref, true
	case !missing.Pulled:
		o.holdOff(c)
	case ctx.Err() == nil:
		o.pulls.Failed(c.Name, c.Image, *missing, time.Now())
	}
	if ctx.Err() == nil {
		o.counts.Add(metrics.StartedContainerErrors, sortOf(pod, c), missing.Reason)
		o.events.Pod(pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: %s", missing.Reason)
		o.failing(c.Name, missing.Reason, missing.Message)
	}
	return "", false
}

// sortOf is what kind of container one is, as metrics name it.
func sortOf(pod *corev1.Pod, c *corev1.Container) string {
	switch {
	case pods.FindContainer(pod.Spec.InitContainers, c.Name) != nil:
		return "init_container"
	case pods.FindContainer(pod.Spec.Containers, c.Name) != nil:
		return "container"
	}
	return "ephemeral_container"
}

// noteActuated records what a container is about to be made with, where that is not what the one before it had.
func (o *operation) noteActuated(pod *corev1.Pod, c *corev1.Container) error {
	info := o.alloc.Actuated.Get(pod.UID)
	if info == nil {
		info = allocation.Of(pod)
		o.alloc.Actuated.Set(pod.UID, info)
	}
	held, known := info.ContainerResources[c.Name]
	if !known || allocation.ContainerAmounts(pod.Spec.Resources, &c.Resources) == allocation.ContainerAmounts(info.PodLevelResources, &held) {
		return nil
	}
	o.alloc.Actuated.Set(pod.UID, info.With(c.Name, podspec.Effective(pod, c)))
	return o.alloc.Actuated.Flush()
}
