package podstate

import (
	"cmp"
	"slices"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/allocation"
	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/probe"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// Waiting is why a container could not be started, until it is.
type Waiting struct{ Reason, Message string }

// Facts is all that a pod's status is computed from.
type Facts struct {
	Pod  *corev1.Pod       // as the node has agreed to it, see node/allocation
	Old  *corev1.PodStatus // the last status computed, or the hub's
	Obs  *runtime.Pod
	Wait map[string]Waiting // by container name
	// readiness and startup are probe results by container id.
	Readiness, Startup map[string]probe.Result
	// Replaced are the ids of containers that are being stopped so that their next run starts at once. Such a run shows as it
	// last did until the next one is there: upstream's kubelet stops and starts in one sync and tells nothing in between.
	Replaced map[string]bool
	// Devices is the health of the devices that a container has; nil where nobody has any.
	Devices func(container string) []corev1.ResourceStatus
	// Actuated is what containers are held to, as far as the runtime does not say; nil where it is what they were given.
	Actuated *allocation.Info
	// Group is what the pod's own control group is held to; nil where it has none.
	Group *cgroup.Limits
	// Resize are the conditions of a change of resources that is asked for or under way.
	Resize      []corev1.PodCondition
	Terminal    bool // nothing of the pod runs any more, and nothing will
	HostIPs     []string
	RuntimeName string
	Rro         bool // the runtime can mount recursively read-only

	restarts bool // all containers are to start anew; Status sets it
}

// Reasons of waiting and terminated containers.
const (
	containerCreating = "ContainerCreating"
	podInitializing   = "PodInitializing"
	statusUnknown     = "ContainerStatusUnknown"
)

// Status computes the status of a pod. It does not set times of conditions or the start time: stamp does.
func Status(f Facts) corev1.PodStatus {
	pod := f.Pod
	f.restarts = restartsAll(pod, f.Obs, f.Old)
	s := corev1.PodStatus{QOSClass: pods.QoS(pod), ObservedGeneration: pod.Generation}
	for _, ip := range f.Obs.IPs() {
		s.PodIPs = append(s.PodIPs, corev1.PodIP{IP: ip})
	}
	if len(s.PodIPs) > 0 {
		s.PodIP = s.PodIPs[0].IP
	}
	s.InitContainerStatuses = f.containers(pod.Spec.InitContainers, f.Old.InitContainerStatuses, true)
	s.ContainerStatuses = f.containers(pod.Spec.Containers, f.Old.ContainerStatuses, false)
	if f.Devices != nil {
		for i := range s.ContainerStatuses {
			s.ContainerStatuses[i].AllocatedResourcesStatus = f.Devices(s.ContainerStatuses[i].Name)
		}
	}
	var eph []corev1.Container
	for i := range pod.Spec.EphemeralContainers {
		eph = append(eph, corev1.Container(pod.Spec.EphemeralContainers[i].EphemeralContainerCommon))
	}
	s.EphemeralContainerStatuses = f.containers(eph, f.Old.EphemeralContainerStatuses, false)
	f.probed(&s)

	all := append(slices.Clone(s.InitContainerStatuses), s.ContainerStatuses...)
	s.Phase = phaseOf(pod, all, f.Terminal, initialized(pod, f.Obs))
	if f.Terminal && !pods.IsStatic(pod) {
		f.end(&s)
	}
	for _, old := range []*corev1.PodStatus{&pod.Status, f.Old} { // no way back from a terminal phase
		if old.Phase == corev1.PodFailed || old.Phase == corev1.PodSucceeded {
			s.Phase = old.Phase
			break
		}
	}
	if s.Phase == f.Old.Phase {
		s.Reason, s.Message = cmp.Or(f.Old.Reason, pod.Status.Reason), cmp.Or(f.Old.Message, pod.Status.Message)
	}
	s.Conditions = conditionsOf(f, &s, all)
	f.hostAddresses(&s)
	s.StartTime = f.Old.StartTime
	s.Resources = f.podResources(&s)
	s.AllocatedResources = resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	s.NominatedNodeName = pod.Status.NominatedNodeName
	s.ResourceClaimStatuses = pod.Status.ResourceClaimStatuses
	return s
}

// end makes the status of a pod that is over: it succeeded or failed, and containers of which nothing is known count as
// failed once the pod was initialized. Init containers that were never reached stay as they are.
func (f *Facts) end(s *corev1.PodStatus) {
	if s.Phase != corev1.PodSucceeded {
		s.Phase = corev1.PodFailed
	}
	lost := func(st *corev1.ContainerStatus) {
		if st.State.Terminated == nil {
			st.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: statusUnknown, ExitCode: 137,
				Message: "The container could not be located when the pod was terminated"}}
			st.Ready = false
		}
	}
	list := s.InitContainerStatuses
	reached := len(list)
	if !initialized(f.Pod, f.Obs) && !anyMainCreated(f.Pod, f.Obs) {
		for reached > 0 && list[reached-1].State.Terminated == nil && list[reached-1].LastTerminationState.Terminated == nil && list[reached-1].State.Running == nil {
			reached--
		}
	}
	for i := range list[:reached] {
		lost(&list[i])
	}
	if len(list) == 0 || anyMainCreated(f.Pod, f.Obs) {
		for i := range s.ContainerStatuses {
			lost(&s.ContainerStatuses[i])
		}
	}
}

func (f *Facts) hostAddresses(s *corev1.PodStatus) {
	if len(f.HostIPs) == 0 {
		return
	}
	s.HostIP = f.HostIPs[0]
	for _, ip := range f.HostIPs {
		s.HostIPs = append(s.HostIPs, corev1.HostIP{IP: ip})
	}
	if f.Pod.Spec.HostNetwork && s.PodIP == "" {
		s.PodIP = f.HostIPs[0]
		for _, ip := range f.HostIPs {
			s.PodIPs = append(s.PodIPs, corev1.PodIP{IP: ip})
		}
	}
}

// probed sets started and ready.
func (f *Facts) probed(s *corev1.PodStatus) {
	set := func(list, old []corev1.ContainerStatus, specs []corev1.Container, initContainers bool) {
		for i := range list {
			st := &list[i]
			spec := pods.FindContainer(specs, st.Name)
			if spec == nil {
				continue
			}
			id := pods.BareID(st.ContainerID)
			was := pods.FindStatus(old, st.Name)
			same := was != nil && was.ContainerID == st.ContainerID // for what a restart of ours forgot
			started := false
			if st.State.Running != nil {
				r, known := f.Startup[id]
				switch {
				case known:
					started = r == probe.Success
				case spec.StartupProbe != nil:
					started = same && was.Started != nil && *was.Started
				default:
					started = true
				}
			}
			st.Started, st.Ready = &started, false
			if initContainers && !pods.IsSidecar(spec) {
				st.Ready = st.State.Terminated != nil && st.State.Terminated.ExitCode == 0
				continue
			}
			if !started {
				continue
			}
			r, known := f.Readiness[id]
			switch {
			case known:
				st.Ready = r == probe.Success
			case spec.ReadinessProbe != nil:
				st.Ready = same && was.Ready
			default:
				st.Ready = true
			}
		}
	}
	set(s.InitContainerStatuses, f.Old.InitContainerStatuses, f.Pod.Spec.InitContainers, true)
	set(s.ContainerStatuses, f.Old.ContainerStatuses, f.Pod.Spec.Containers, false)
}

// containers computes the statuses of one list of containers.
func (f *Facts) containers(specs []corev1.Container, old []corev1.ContainerStatus, initList bool) []corev1.ContainerStatus {
	if len(specs) == 0 {
		return nil
	}
	hasInit := len(f.Pod.Spec.InitContainers) > 0
	out := make([]corev1.ContainerStatus, 0, len(specs))
	for i := range specs {
		spec := &specs[i]
		was := pods.FindStatus(old, spec.Name)
		st := f.initial(spec, was, hasInit)
		runs := f.runs(spec.Name)
		switch {
		case len(runs) > 0 && f.giving(runs[0], was):
			out = append(out, *was.DeepCopy())
			continue
		case len(runs) > 0:
			st = f.seen(spec, runs[0], was, st)
			if len(runs) > 1 {
				st.LastTerminationState = f.state(runs[1], nil)
			}
		case was != nil && f.restarts && was.State.Waiting == nil:
			takenAwayStatus(&st, was)
		case was != nil:
			f.vanished(&st, was, hasInit)
		}
		f.waits(spec, &st, initList)
		out = append(out, st)
	}
	if !initList {
		slices.SortFunc(out, func(a, b corev1.ContainerStatus) int { return cmp.Compare(a.Name, b.Name) })
	}
	return out
}

// giving reports whether the newest run of a container has ended to give way to the next, and was told of as running.
func (f *Facts) giving(c *runtime.Container, was *corev1.ContainerStatus) bool {
	return f.Replaced[c.ID] && c.State == runtime.Exited && was != nil && was.State.Running != nil && pods.BareID(was.ContainerID) == c.ID
}

// runs are the runs of a container that the runtime knows, newest first. One that is made but not started is none yet: the
// status of before holds until it is.
func (f *Facts) runs(name string) []*runtime.Container {
	var out []*runtime.Container
	for i := range f.Obs.Containers {
		if c := &f.Obs.Containers[i]; c.Name == name && c.State != runtime.Created {
			out = append(out, c)
		}
	}
	return out
}

// initial is the status before looking at the runtime.
func (f *Facts) initial(spec *corev1.Container, was *corev1.ContainerStatus, hasInit bool) corev1.ContainerStatus {
	reason := containerCreating
	if hasInit {
		reason = podInitializing
	}
	st := corev1.ContainerStatus{Name: spec.Name, Image: spec.Image,
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}}
	for _, m := range spec.VolumeMounts {
		vm := corev1.VolumeMountStatus{Name: m.Name, MountPath: m.MountPath, ReadOnly: m.ReadOnly}
		if m.ReadOnly {
			mode := corev1.RecursiveReadOnlyDisabled
			if m.RecursiveReadOnly != nil && (*m.RecursiveReadOnly == corev1.RecursiveReadOnlyEnabled ||
				*m.RecursiveReadOnly == corev1.RecursiveReadOnlyIfPossible && f.Rro) {
				mode = corev1.RecursiveReadOnlyEnabled
			}
			vm.RecursiveReadOnly = &mode
		}
		st.VolumeMounts = append(st.VolumeMounts, vm)
	}
	if was == nil {
		return st
	}
	if was.State.Terminated != nil {
		return *was.DeepCopy()
	}
	st.RestartCount, st.LastTerminationState = was.RestartCount, was.LastTerminationState
	return st
}

// vanished accounts for a container that the runtime does not know any more though it ran: it must not look as if it had
// never run, or a pod that runs once would run twice.
func (f *Facts) vanished(st *corev1.ContainerStatus, was *corev1.ContainerStatus, hasInit bool) {
	if was.State.Running == nil || st.LastTerminationState.Terminated != nil {
		return
	}
	st.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: statusUnknown, ExitCode: 137,
		Message: "The container could not be located when the pod was deleted.  The container used to be Running"}
	if f.Pod.DeletionTimestamp == nil {
		st.RestartCount++
	}
}

// seen is the status of a container that the runtime knows.
func (f *Facts) seen(spec *corev1.Container, c *runtime.Container, was *corev1.ContainerStatus, base corev1.ContainerStatus) corev1.ContainerStatus {
	st := corev1.ContainerStatus{
		Name: c.Name, RestartCount: int32(c.RestartCount), Image: c.Image, ImageID: c.ImageRef,
		ContainerID: f.RuntimeName + "://" + c.ID, VolumeMounts: base.VolumeMounts, State: f.state(c, was),
	}
	st.Resources, st.AllocatedResources = f.resources(spec, c, was), spec.Resources.Requests
	if was != nil {
		st.RestartCount = max(st.RestartCount, was.RestartCount)
		if c.State == runtime.Running && was.State.Terminated != nil && was.RestartCount >= int32(c.RestartCount) {
			st.RestartCount = was.RestartCount + 1
		}
		switch {
		case was.ContainerID != st.ContainerID && was.State.Terminated != nil:
			st.LastTerminationState.Terminated = was.State.Terminated.DeepCopy()
		case was.LastTerminationState.Terminated != nil:
			st.LastTerminationState.Terminated = was.LastTerminationState.Terminated.DeepCopy()
		}
	}
	if c.User != nil {
		st.User = &corev1.ContainerUser{Linux: c.User}
	}
	return st
}

func (f *Facts) state(c *runtime.Container, was *corev1.ContainerStatus) corev1.ContainerState {
	switch {
	case c.State == runtime.Running:
		return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(c.StartedAt)}}
	case c.State == runtime.Exited:
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: c.ExitCode, Reason: c.Reason, Message: c.Message,
			StartedAt: metav1.NewTime(c.StartedAt), FinishedAt: metav1.NewTime(c.FinishedAt),
			ContainerID: f.RuntimeName + "://" + c.ID,
		}}
	case c.State == runtime.Unknown && was != nil && was.State.Running != nil:
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: statusUnknown, ExitCode: 137,
			Message: "The container could not be located when the pod was terminated"}}
	}
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}
}

// waits shows a container as waiting, with the reason why it could not be started, when the next step will try again.
func (f *Facts) waits(spec *corev1.Container, st *corev1.ContainerStatus, initList bool) {
	s := f.Obs.Container(spec.Name)
	if initList {
		if s != nil && s.State == runtime.Exited && s.ExitCode == 0 {
			return
		}
		if s == nil && !f.restarts && anyMainCreated(f.Pod, f.Obs) && !pods.IsSidecar(spec) && st.State.Waiting != nil {
			st.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed",
				Message: "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally"}}
			return
		}
	}
	w, failed := f.Wait[spec.Name]
	if !failed || !shouldRun(f.Pod, spec, f.Obs) {
		return
	}
	if st.State.Terminated != nil {
		st.LastTerminationState = st.State
	}
	st.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: w.Reason, Message: w.Message}}
}
