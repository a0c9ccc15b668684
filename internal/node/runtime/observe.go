package runtime

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// List implements Interface. Sandboxes and containers that no kubelet made (no pod UID label) are left out: they are not
// ours to touch (system.md A33).
func (c *CRI) List(ctx context.Context) ([]*Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	sb, err := c.rt.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return nil, err
	}
	cs, err := c.rt.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return nil, err
	}
	byUID := map[types.UID]*Pod{}
	var out []*Pod
	get := func(labels map[string]string) *Pod {
		uid := types.UID(labels[LabelPodUID])
		if uid == "" {
			return nil
		}
		p := byUID[uid]
		if p == nil {
			p = &Pod{UID: uid, Namespace: labels[LabelPodNamespace], Name: labels[LabelPodName]}
			byUID[uid] = p
			out = append(out, p)
		}
		return p
	}
	for _, s := range sb.Items {
		if p := get(s.Labels); p != nil {
			p.Sandboxes = append(p.Sandboxes, Sandbox{ID: s.Id, Attempt: s.GetMetadata().GetAttempt(),
				Ready: s.State == cri.PodSandboxState_SANDBOX_READY, CreatedAt: time.Unix(0, s.CreatedAt)})
		}
	}
	for _, s := range cs.Containers {
		if p := get(s.Labels); p != nil {
			ctr := Container{ID: s.Id, Name: s.GetMetadata().GetName(), SandboxID: s.PodSandboxId, State: stateOf(s.State),
				Image: s.GetImage().GetImage(), ImageRef: s.ImageRef, ImageID: s.ImageId, CreatedAt: time.Unix(0, s.CreatedAt)}
			ctr.annotate(s.Annotations)
			p.Containers = append(p.Containers, ctr)
		}
	}
	for _, p := range out {
		p.sort()
	}
	return out, nil
}

func (p *Pod) sort() {
	slices.SortStableFunc(p.Sandboxes, func(a, b Sandbox) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.Attempt, a.Attempt), cmp.Compare(a.ID, b.ID))
	})
	slices.SortStableFunc(p.Containers, func(a, b Container) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.RestartCount, a.RestartCount))
	})
}

// Pod implements Interface.
func (c *CRI) Pod(ctx context.Context, uid types.UID) (*Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	sel := map[string]string{LabelPodUID: string(uid)}
	sb, err := c.rt.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{Filter: &cri.PodSandboxFilter{LabelSelector: sel}})
	if err != nil {
		return nil, err
	}
	cs, err := c.rt.ListContainers(ctx, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{LabelSelector: sel}})
	if err != nil {
		return nil, err
	}
	p := &Pod{UID: uid}
	for _, s := range sb.Items {
		r, err := c.rt.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: s.Id})
		if IsNotFound(err) {
			continue // removed between the listing and now
		}
		if err != nil {
			return nil, err
		}
		p.Sandboxes = append(p.Sandboxes, sandboxOf(r.GetStatus()))
		p.Name, p.Namespace = s.Labels[LabelPodName], s.Labels[LabelPodNamespace]
	}
	for _, s := range cs.Containers {
		r, err := c.rt.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: s.Id})
		if IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		ctr := containerOf(r.GetStatus())
		ctr.SandboxID = s.PodSandboxId
		p.Containers = append(p.Containers, ctr)
		p.Name, p.Namespace = s.Labels[LabelPodName], s.Labels[LabelPodNamespace]
	}
	p.sort()
	return p, nil
}

func sandboxOf(s *cri.PodSandboxStatus) Sandbox {
	out := Sandbox{
		ID: s.GetId(), Attempt: s.GetMetadata().GetAttempt(),
		Ready:       s.GetState() == cri.PodSandboxState_SANDBOX_READY,
		CreatedAt:   time.Unix(0, s.GetCreatedAt()),
		HostNetwork: s.GetLinux().GetNamespaces().GetOptions().GetNetwork() == cri.NamespaceMode_NODE,
		HasNetwork:  s.GetNetwork() != nil,
	}
	if ip := s.GetNetwork().GetIp(); ip != "" && !out.HostNetwork {
		out.IPs = append(out.IPs, ip)
		for _, a := range s.GetNetwork().GetAdditionalIps() {
			out.IPs = append(out.IPs, a.Ip)
		}
	}
	return out
}

func containerOf(s *cri.ContainerStatus) Container {
	c := Container{
		ID: s.GetId(), Name: s.GetLabels()[LabelContainerName], State: stateOf(s.GetState()),
		Image: s.GetImage().GetImage(), ImageRef: s.GetImageRef(), ImageID: s.GetImageId(),
		CreatedAt: time.Unix(0, s.GetCreatedAt()),
		LogPath:   s.GetLogPath(), Mounts: s.GetMounts(), Resources: s.GetResources().GetLinux(),
	}
	if c.Name == "" {
		c.Name = s.GetMetadata().GetName()
	}
	if c.ImageID == "" {
		c.ImageID = c.ImageRef
	}
	c.annotate(s.GetAnnotations())
	if c.State != Created && s.GetStartedAt() != 0 {
		c.StartedAt = time.Unix(0, s.GetStartedAt())
	}
	if c.State == Exited && s.GetReason() == "StartError" && strings.Contains(s.GetMessage(), "context canceled") {
		// Whoever was starting it died or gave up. It never ran, and nobody should count it as a run that failed.
		c.State = Created
	}
	if c.State == Exited {
		c.ExitCode, c.Reason, c.Message = s.GetExitCode(), s.GetReason(), s.GetMessage()
		c.FinishedAt = time.Unix(0, s.GetFinishedAt())
		if text := terminationMessage(&c); text != "" {
			if c.Message != "" {
				c.Message += ": "
			}
			c.Message += text
		}
	}
	if u := s.GetUser().GetLinux(); u != nil {
		c.User = &corev1.LinuxContainerUser{UID: u.Uid, GID: u.Gid, SupplementalGroups: u.SupplementalGroups}
	}
	if sig := s.GetStopSignal(); sig != cri.Signal_SIGNAL_RUNTIME_DEFAULT {
		name := corev1.Signal(strings.Replace(strings.TrimPrefix(sig.String(), "SIGNAL_"), "RTMINPLUS", "RTMIN+", 1))
		name = corev1.Signal(strings.Replace(string(name), "RTMAXMINUS", "RTMAX-", 1))
		c.StopSignal = &name
	}
	return c
}

// StopSignal turns the API's name of a signal ("SIGRTMIN+3") into the CRI's.
func StopSignal(s *corev1.Signal) cri.Signal {
	if s == nil {
		return cri.Signal_SIGNAL_RUNTIME_DEFAULT
	}
	name := strings.NewReplacer("RTMIN+", "RTMINPLUS", "RTMAX-", "RTMAXMINUS").Replace(string(*s))
	return cri.Signal(cri.Signal_value["SIGNAL_"+name])
}

func stateOf(s cri.ContainerState) State {
	switch s {
	case cri.ContainerState_CONTAINER_CREATED:
		return Created
	case cri.ContainerState_CONTAINER_RUNNING:
		return Running
	case cri.ContainerState_CONTAINER_EXITED:
		return Exited
	}
	return Unknown
}
