package podstate

import (
	"fmt"
	"hash/fnv"
	"slices"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/allocation"
	"sampan.dev/internal/node/probe"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
)

// View is all that a step looks at besides the clock.
type View struct {
	Pod *corev1.Pod
	Obs *runtime.Pod
	// Liveness and Startup are the probe results by container id; a container without an entry has no result yet.
	Liveness, Startup map[string]probe.Result
	// Actuated is what the pod's containers are held to, where Pod asks for what they were given; nil: nothing else than that.
	Actuated *allocation.Info
	// RestartAll says that the last status tells so: all containers are to start anew. See RestartingAll.
	RestartAll bool
}

// Actions is what a step wants done, in the order: KillPod, Kill, Reset, CreateSandbox, Ephemeral, Init, Resize, Main.
type Actions struct {
	KillPod       bool // stop every container and sandbox
	CreateSandbox bool
	Attempt       uint32 // of the sandbox to create
	SandboxID     string // of the sandbox that is kept, or that gave way to the new one
	Reason        string // why a sandbox is needed, as the API says it

	Kill      []Kill
	Reset     []Reset
	Ephemeral []int // indexes into the spec of what to start
	Init      []int
	Resize    Resize
	Main      []int
}

// Any reports whether there is anything to do.
func (a *Actions) Any() bool {
	return a.KillPod || a.CreateSandbox || len(a.Kill)+len(a.Reset)+len(a.Ephemeral)+len(a.Init)+len(a.Main) > 0 || a.Resize.Any()
}

// Replaced are the ids of the containers that are stopped so that their next run starts at once; nil when there are none.
func (a *Actions) Replaced(pod *corev1.Pod) map[string]bool {
	var out map[string]bool
	for _, k := range a.Kill {
		again := slices.ContainsFunc(a.Main, func(i int) bool { return pod.Spec.Containers[i].Name == k.Name }) ||
			slices.ContainsFunc(a.Init, func(i int) bool { return pod.Spec.InitContainers[i].Name == k.Name })
		if again {
			if out == nil {
				out = map[string]bool{}
			}
			out[k.Id] = true
		}
	}
	return out
}

// Kill is one container to stop, with the event message that says why.
type Kill struct {
	Id, Name, Message string
	Why               KillReason
}

type KillReason uint8

const (
	whyOther KillReason = iota
	WhyStartup
	WhyLiveness
	WhyPostStart
)

// Why a pod needs a sandbox, in the words of the PodReadyToStartContainers condition.
const (
	noSandbox        = "No pod sandbox for pod can be found"
	manySandboxes    = "Multiple pod sandboxes are ready for Pod. Need to reconcile them"
	sandboxNotReady  = "Pod sandbox is not ready"
	sandboxNetChange = "Pod sandbox has changed. Need to start a new one"
	sandboxNoIP      = "Pod sandbox does not have IP address"
)

// sandboxNeeded says whether the pod needs a new sandbox, which attempt that is, which sandbox there was and why.
func sandboxNeeded(pod *corev1.Pod, obs *runtime.Pod) (need bool, attempt uint32, id, why string) {
	if len(obs.Sandboxes) == 0 {
		return true, 0, "", noSandbox
	}
	ready := 0
	for _, s := range obs.Sandboxes {
		if s.Ready {
			ready++
		}
	}
	s := obs.Sandboxes[0]
	switch {
	case ready > 1:
		return true, s.Attempt + 1, s.ID, manySandboxes
	case !s.Ready:
		return true, s.Attempt + 1, s.ID, sandboxNotReady
	case s.HostNetwork != pod.Spec.HostNetwork:
		return true, s.Attempt + 1, "", sandboxNetChange
	case !pod.Spec.HostNetwork && s.HasNetwork && len(s.IPs) == 0:
		return true, s.Attempt + 1, s.ID, sandboxNoIP
	}
	return false, s.Attempt, s.ID, ""
}

// Step decides what a pod that is to run needs. It is upstream's computePodActions as a function of values.
func Step(v View) Actions {
	pod, obs := v.Pod, v.Obs
	need, attempt, id, why := sandboxNeeded(pod, obs)
	a := Actions{KillPod: need, CreateSandbox: need, Attempt: attempt, SandboxID: id, Reason: why}
	if v.RestartAll && !need {
		a.Reset = resets(pod, obs)
		return a
	}
	if need {
		stepSandbox(v, &a)
		return a
	}
	for i := range pod.Spec.EphemeralContainers { // started once, whether or not initialization is over; never restarted
		if obs.Container(pod.Spec.EphemeralContainers[i].Name) == nil {
			a.Ephemeral = append(a.Ephemeral, i)
		}
	}
	if !stepInit(v, &a) || a.KillPod {
		return a
	}
	keep := 0
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		s := obs.Container(c.Name)
		if s == nil || s.State != runtime.Running {
			if shouldRun(pod, c, obs) {
				a.Main = append(a.Main, i)
				if s != nil && s.State == runtime.Unknown {
					a.Kill = append(a.Kill, Kill{Id: s.ID, Name: c.Name,
						Message: fmt.Sprintf("Container is in %q state, try killing it before restart", s.State)})
				}
			}
			continue
		}
		k, restart := v.unwanted(c, s)
		if k == nil && v.resize(&a, c, s) {
			a.Main = append(a.Main, i)
			continue
		}
		if k == nil {
			keep++
			continue
		}
		if restart {
			k.Message += ", will be restarted"
			a.Main = append(a.Main, i)
		}
		a.Kill = append(a.Kill, *k)
	}
	if keep == 0 && len(a.Main) == 0 {
		a.KillPod = true
		a.Init = nil // else the sidecars would keep the pod alive
		a.Resize = Resize{}
		return a
	}
	v.resizePod(&a)
	return a
}

// unwanted says whether a running main container has to die, and whether it comes back.
func (v View) unwanted(c *corev1.Container, s *runtime.Container) (k *Kill, restart bool) {
	restart = v.Pod.Spec.RestartPolicy != corev1.RestartPolicyNever
	if c.RestartPolicy != nil { // rules need an exit code, which a running container has not
		restart = *c.RestartPolicy != corev1.ContainerRestartPolicyNever
	}
	switch {
	case s.Hash != HashContainer(c):
		return &Kill{Id: s.ID, Name: c.Name, Message: fmt.Sprintf("Container %s definition changed", c.Name)}, true
	case v.Liveness[s.ID] == probe.Failure:
		return &Kill{Id: s.ID, Name: c.Name, Why: WhyLiveness, Message: fmt.Sprintf("Container %s failed liveness probe", c.Name)}, restart
	case v.Startup[s.ID] == probe.Failure:
		return &Kill{Id: s.ID, Name: c.Name, Why: WhyStartup, Message: fmt.Sprintf("Container %s failed startup probe", c.Name)}, restart
	}
	return nil, false
}

// stepSandbox fills in what starts with a new sandbox.
func stepSandbox(v View, a *Actions) {
	pod, obs := v.Pod, v.Obs
	if pod.Spec.RestartPolicy == corev1.RestartPolicyNever && a.Attempt != 0 && len(obs.Containers) != 0 {
		a.CreateSandbox = false // it has run; only what is left of it is stopped
		return
	}
	var start []int
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		once := pod.Spec.RestartPolicy == corev1.RestartPolicyOnFailure
		if c.RestartPolicy != nil {
			once = *c.RestartPolicy == corev1.ContainerRestartPolicyOnFailure
		}
		if s := obs.Container(c.Name); once && s != nil && s.State == runtime.Exited && s.ExitCode == 0 {
			continue
		}
		start = append(start, i)
	}
	if len(start) == 0 && anyMainCreated(pod, obs) {
		a.CreateSandbox = false
		return
	}
	if len(pod.Spec.InitContainers) != 0 {
		a.Init = []int{0}
		return
	}
	a.Main = start
}

func anyMainCreated(pod *corev1.Pod, obs *runtime.Pod) bool {
	for i := range pod.Spec.Containers {
		if s := obs.Container(pod.Spec.Containers[i].Name); s != nil && s.State != runtime.Unknown {
			return true
		}
	}
	return false
}

// initialized reports whether a main container was made in the current sandbox, which implies that all init containers
// have done their work, whatever the runtime still remembers of them.
func initialized(pod *corev1.Pod, obs *runtime.Pod) bool {
	for i := range pod.Spec.Containers {
		if obs.Active(pod.Spec.Containers[i].Name) != nil {
			return true
		}
	}
	return false
}

// stepInit decides about init containers and reports whether initialization is over. It walks them from the last to the
// first, because the runtime may have forgotten early ones that are done.
func stepInit(v View, a *Actions) bool {
	pod, list := v.Pod, v.Pod.Spec.InitContainers
	if len(list) == 0 {
		return true
	}
	done := initialized(pod, v.Obs)
	later := done // a later init container, or a main one, has run: this one is done
	for i := len(list) - 1; i >= 0; i-- {
		c := &list[i]
		s := v.Obs.Active(c.Name)
		if s == nil {
			if later && pods.IsSidecar(c) {
				a.Init = append(a.Init, i)
			}
			continue
		}
		if later && !pods.IsSidecar(c) {
			continue
		}
		switch s.State {
		case runtime.Created:
			a.Init = append(a.Init, i)
		case runtime.Running:
			switch {
			case pods.IsSidecar(c):
				done = stepSidecar(v, a, i, s, later) && i == len(list)-1 || done
			case v.resize(a, c, s):
				a.Init = append(a.Init, i)
			}
		case runtime.Exited, runtime.Unknown:
			failed := s.ExitCode != 0 || s.Reason == "OOMKilled" || s.State == runtime.Unknown
			switch {
			case pods.IsSidecar(c):
				if s.State == runtime.Unknown {
					a.Kill = append(a.Kill, unknownKill(c, s))
				}
				a.Init = append(a.Init, i)
			case failed && !initRestarts(pod, c, s):
				a.KillPod, a.Init = true, nil
				return false
			case failed:
				if s.State == runtime.Unknown {
					a.Kill = append(a.Kill, unknownKill(c, s))
				}
				a.Init = append(a.Init, i)
			case i == len(list)-1:
				done = true
			default:
				a.Init = append(a.Init, i+1)
			}
		}
		later = true
	}
	if !later {
		a.Init = append(a.Init, 0)
	}
	slices.Sort(a.Init)
	a.Init = slices.Compact(a.Init)
	return done
}

func unknownKill(c *corev1.Container, s *runtime.Container) Kill {
	return Kill{Id: s.ID, Name: c.Name, Message: fmt.Sprintf("Init container is in %q state, try killing it before restart", s.State)}
}

func initRestarts(pod *corev1.Pod, c *corev1.Container, s *runtime.Container) bool {
	if s.State == runtime.Unknown {
		if c.RestartPolicy != nil {
			return *c.RestartPolicy != corev1.ContainerRestartPolicyNever
		}
		return pod.Spec.RestartPolicy != corev1.RestartPolicyNever
	}
	return shouldRun(pod, c, &runtime.Pod{Containers: []runtime.Container{*s}})
}

// stepSidecar decides about a running restartable init container and reports whether it has started, so that the next one
// may.
func stepSidecar(v View, a *Actions, i int, s *runtime.Container, later bool) bool {
	c := &v.Pod.Spec.InitContainers[i]
	again := func(why KillReason, format string) {
		a.Kill = append(a.Kill, Kill{Id: s.ID, Name: c.Name, Why: why, Message: fmt.Sprintf(format, c.Name)})
		a.Init = append(a.Init, i)
	}
	if c.StartupProbe != nil {
		switch r, ok := v.Startup[s.ID]; {
		case !ok:
			return false
		case r == probe.Failure:
			again(WhyStartup, "Init container %s failed startup probe")
			return false
		case r != probe.Success:
			return false
		}
	}
	if i < len(v.Pod.Spec.InitContainers)-1 && !later {
		a.Init = append(a.Init, i+1)
	}
	switch {
	case s.Hash != HashContainer(c):
		again(whyOther, "Init container %s definition changed")
	case c.LivenessProbe != nil && v.Liveness[s.ID] == probe.Failure:
		again(WhyLiveness, "Init container %s failed liveness probe")
	case v.resize(a, c, s):
		a.Init = append(a.Init, i)
	}
	return true
}

// HashContainer identifies what of a container's spec may not change under a running container: its name and image.
func HashContainer(c *corev1.Container) uint64 {
	h := fnv.New32a()
	h.Write([]byte(c.Name))
	h.Write([]byte{0})
	h.Write([]byte(c.Image))
	return uint64(h.Sum32())
}
