package why

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
)

// PodFacts are what a pod's answer is made of.
type PodFacts struct {
	Pod    *corev1.Pod
	Nodes  []*corev1.Node
	Pods   []*corev1.Pod                   // of all namespaces
	Claims []*corev1.PersistentVolumeClaim // of its namespace
	Lacks  []string                        // "secret x": what it names and there is not
	Now    time.Time
}

// Pod answers for a pod.
func Pod(f PodFacts) *Answer {
	p := f.Pod
	a := &Answer{Kind: "pod", Namespace: p.Namespace, Name: p.Name, State: string(p.Status.Phase)}
	switch {
	case p.DeletionTimestamp != nil:
		a.State = "Terminating"
		a.leaving(f)
	case p.Status.Phase == corev1.PodSucceeded:
		a.Fine = true
	case p.Spec.NodeName == "":
		a.unplaced(f)
	default:
		a.placed(f)
	}
	a.Fine = a.Fine || len(a.Findings) == 0
	return a
}

// leaving says what keeps a pod that is being deleted.
func (a *Answer) leaving(f PodFacts) {
	p := f.Pod
	a.held("pod", p.Finalizers)
	if left := p.DeletionTimestamp.Sub(f.Now); left > 0 {
		a.find(Finding{What: fmt.Sprintf("its containers have %v to end", left.Round(time.Second)), Who: "the kubelet of " + p.Spec.NodeName})
		return
	}
	if i := slices.IndexFunc(f.Nodes, func(n *corev1.Node) bool { return n.Name == p.Spec.NodeName }); p.Spec.NodeName != "" && (i < 0 || !ready(f.Nodes[i])) {
		a.find(Finding{What: "its node " + p.Spec.NodeName + " is gone or not ready, so that nobody says that it has ended", Who: "the kubelet of " + p.Spec.NodeName,
			Mend: "bring the node back; or, if the machine is off for good: kubectl delete node " + p.Spec.NodeName})
	}
}

// unplaced says why a pod has no node.
func (a *Answer) unplaced(f PodFacts) {
	p := f.Pod
	for _, g := range p.Spec.SchedulingGates {
		a.find(Finding{What: "the scheduling gate " + g.Name + " holds it", Who: "whoever set it"})
	}
	if len(p.Spec.SchedulingGates) > 0 {
		return
	}
	a.claims(f)
	all := place(p, f.Nodes, f.Pods)
	fits := slices.ContainsFunc(all, func(v Verdict) bool { return v.Plugin == "" })
	switch {
	case !fits:
		a.find(Finding{What: fmt.Sprintf("none of %d nodes takes it", len(all)), Nodes: all, Mend: remedy(p, all)})
	case len(a.Findings) == 0:
		what := "a node by itself would take it, and the scheduler has not placed it"
		if c := pods.FindCondition(p.Status.Conditions, corev1.PodScheduled); c != nil && c.Message != "" {
			what += ": " + c.Message
		}
		a.find(Finding{What: what, Nodes: all, Who: "the scheduler " + p.Spec.SchedulerName})
	}
}

// claims says which claims of a pod are not there or not bound.
func (a *Answer) claims(f PodFacts) {
	for _, v := range f.Pod.Spec.Volumes {
		name := ""
		switch {
		case v.PersistentVolumeClaim != nil:
			name = v.PersistentVolumeClaim.ClaimName
		case v.Ephemeral != nil:
			name = f.Pod.Name + "-" + v.Name
		default:
			continue
		}
		i := slices.IndexFunc(f.Claims, func(c *corev1.PersistentVolumeClaim) bool { return c.Name == name })
		switch {
		case i < 0:
			a.find(Finding{What: fmt.Sprintf("the claim %s of its volume %s does not exist", name, v.Name), Mend: "create the claim " + name})
		case f.Claims[i].Status.Phase != corev1.ClaimBound:
			a.find(Finding{What: fmt.Sprintf("the claim %s of its volume %s is %s", name, v.Name, orPending(f.Claims[i].Status.Phase)), Mend: "sampan why pvc/" + name + in(f.Pod.Namespace)})
		}
	}
}

// placed says what keeps a pod on a node from being ready.
func (a *Answer) placed(f PodFacts) {
	p := f.Pod
	i := slices.IndexFunc(f.Nodes, func(n *corev1.Node) bool { return n.Name == p.Spec.NodeName })
	if i < 0 || !ready(f.Nodes[i]) {
		a.find(Finding{What: "its node " + p.Spec.NodeName + " is gone or not ready", Mend: "sampan why node/" + p.Spec.NodeName})
	}
	if p.Status.Phase == corev1.PodFailed {
		a.find(Finding{What: strings.TrimSpace("it has failed: " + p.Status.Reason + " " + p.Status.Message)})
	}
	for _, what := range f.Lacks {
		a.find(Finding{What: "it names the " + what + ", which does not exist", Mend: "create it, or mark the reference as optional"})
	}
	a.claims(f)
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		a.container(p, &s)
	}
	for _, g := range p.Spec.ReadinessGates {
		if c := pods.FindCondition(p.Status.Conditions, g.ConditionType); c == nil || c.Status != corev1.ConditionTrue {
			a.find(Finding{What: "its readiness gate " + string(g.ConditionType) + " is not met", Who: "whoever sets that condition"})
		}
	}
	if c := pods.FindCondition(p.Status.Conditions, corev1.PodReady); len(a.Findings) == 0 && (c == nil || c.Status != corev1.ConditionTrue) {
		a.find(Finding{What: "its kubelet has not reported it ready yet", Who: "the kubelet of " + p.Spec.NodeName})
	}
}

// container says what is the matter with one.
func (a *Answer) container(p *corev1.Pod, s *corev1.ContainerStatus) {
	logs := fmt.Sprintf("kubectl logs %s -c %s%s", p.Name, s.Name, in(p.Namespace))
	switch w := s.State.Waiting; {
	case w != nil && strings.Contains(w.Reason, "Image"):
		a.find(Finding{What: fmt.Sprintf("container %s: image %s: %s: %s", s.Name, s.Image, w.Reason, w.Message), Mend: "correct the image's name, load it (sampan image), or give the pod what the registry asks for"})
	case w != nil && w.Reason == "CrashLoopBackOff":
		what := fmt.Sprintf("container %s ends again and again (%d times)", s.Name, s.RestartCount)
		if t := s.LastTerminationState.Terminated; t != nil {
			what += fmt.Sprintf(", last with exit code %d (%s)", t.ExitCode, t.Reason)
			if t.Reason == "OOMKilled" {
				a.find(Finding{What: what, Mend: "give it more memory: resources.limits.memory"})
				return
			}
		}
		a.find(Finding{What: what, Mend: logs + " --previous"})
	case w != nil && w.Reason != "PodInitializing" && w.Reason != "ContainerCreating":
		a.find(Finding{What: fmt.Sprintf("container %s waits: %s %s", s.Name, w.Reason, w.Message)})
	case s.State.Running != nil && !s.Ready:
		c := pods.Container(p, s.Name)
		probe := "readiness"
		if s.Started != nil && !*s.Started {
			probe = "startup"
		}
		if c != nil && (c.ReadinessProbe != nil || c.StartupProbe != nil) {
			a.find(Finding{What: fmt.Sprintf("container %s runs and its %s probe does not succeed", s.Name, probe), Mend: logs})
		}
	}
}

func orPending(p corev1.PersistentVolumeClaimPhase) string {
	if p == "" {
		return string(corev1.ClaimPending)
	}
	return string(p)
}

func ready(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}
