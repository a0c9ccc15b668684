package kubelet

import (
	"strings"

	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// sandboxConfig describes the sandbox of a pod to the runtime.
func (k *Kubelet) sandboxConfig(pod *corev1.Pod, attempt uint32) (*cri.PodSandboxConfig, error) {
	host, err := readResolvConf(k.cfg.ResolvConf)
	if err != nil {
		return nil, err
	}
	dns, warnings := dnsOf(pod, host, k.cfg.ClusterDNS, k.cfg.ClusterDomain)
	for _, w := range warnings {
		k.events.pod(pod, "", corev1.EventTypeWarning, "DNSConfigForming", "%s", w)
	}
	cfg := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: pod.Name, Namespace: pod.Namespace, Uid: string(pod.UID), Attempt: attempt},
		Labels:       runtime.SandboxLabels(pod),
		Annotations:  pod.Annotations,
		DnsConfig:    dns,
		LogDirectory: k.cfg.logDir(pod),
		PortMappings: portMappings(pod),
	}
	if !pod.Spec.HostNetwork {
		name, domain, err := hostname(pod, k.cfg.ClusterDomain)
		if err != nil {
			return nil, err
		}
		if cfg.Hostname, err = kernelHostname(pod, name, domain); err != nil {
			return nil, err
		}
	}
	if cfg.Linux, err = k.sandboxLinux(pod); err != nil {
		return nil, err
	}
	if k.cfg.Bundled {
		cfg.Linux.SecurityContext.Seccomp.ProfileType = cri.SecurityProfile_Unconfined // tools/pause has a closer one
	}
	return cfg, nil
}

func (k *Kubelet) sandboxLinux(pod *corev1.Pod) (*cri.LinuxPodSandboxConfig, error) {
	sc := &cri.LinuxSandboxSecurityContext{
		Privileged:       hasPrivileged(pod),
		NamespaceOptions: namespaces(pod),
		Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
	}
	lc := &cri.LinuxPodSandboxConfig{CgroupParent: k.cgroups.Parent(cgroupPod(pod)), SecurityContext: sc, Sysctls: map[string]string{}}
	if p := pod.Spec.SecurityContext; p != nil {
		for _, s := range p.Sysctls {
			lc.Sysctls[dotted(s.Name)] = s.Value
		}
		if p.RunAsUser != nil {
			sc.RunAsUser = &cri.Int64Value{Value: *p.RunAsUser}
		}
		if p.RunAsGroup != nil {
			sc.RunAsGroup = &cri.Int64Value{Value: *p.RunAsGroup}
		}
		sc.SelinuxOptions = selinux(p.SELinuxOptions)
		var err error
		if sc.SupplementalGroups, sc.SupplementalGroupsPolicy, err = groups(pod); err != nil {
			return nil, err
		}
	}
	opts := resourcehelper.PodResourcesOptions{ExcludeOverhead: true}
	req, lim := resourcehelper.PodRequests(pod, opts), resourcehelper.PodLimits(pod, opts)
	lc.Resources = linuxResources(req, lim)
	lc.Overhead = &cri.LinuxContainerResources{}
	if len(pod.Spec.Overhead) > 0 {
		lc.Overhead = linuxResources(pod.Spec.Overhead, pod.Spec.Overhead)
	}
	return lc, nil
}

// dotted writes a sysctl name with dots between its parts, as runc wants it.
func dotted(name string) string {
	if i := strings.IndexAny(name, "./"); i < 0 || name[i] == '.' {
		return name
	}
	return strings.NewReplacer("/", ".", ".", "/").Replace(name)
}

// linuxResources turns requests and limits into shares and quotas.
func linuxResources(req, lim corev1.ResourceList) *cri.LinuxContainerResources {
	out := &cri.LinuxContainerResources{CpuPeriod: cgroup.Period, CpuQuota: cgroup.Quota(lim.Cpu().MilliValue()), MemoryLimitInBytes: lim.Memory().Value()}
	cpu := lim.Cpu()
	if _, ok := req[corev1.ResourceCPU]; ok {
		cpu = req.Cpu()
	}
	out.CpuShares = int64(cgroup.Shares(cpu.MilliValue()))
	return out
}

func portMappings(pod *corev1.Pod) []*cri.PortMapping {
	var out []*cri.PortMapping
	for i := range pod.Spec.Containers {
		for _, p := range pod.Spec.Containers[i].Ports {
			m := &cri.PortMapping{HostIp: p.HostIP, HostPort: p.HostPort, ContainerPort: p.ContainerPort}
			switch p.Protocol {
			case corev1.ProtocolUDP:
				m.Protocol = cri.Protocol_UDP
			case corev1.ProtocolSCTP:
				m.Protocol = cri.Protocol_SCTP
			}
			out = append(out, m)
		}
	}
	return out
}

// cgroupPod is what the cgroup package needs to know of a pod.
func cgroupPod(pod *corev1.Pod) cgroup.Pod {
	req, lim := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{}), resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})
	cpuLimited, limited := true, true // a pod is limited only when all its containers are
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			cpuLimited = cpuLimited && !list[i].Resources.Limits.Cpu().IsZero()
			limited = limited && !list[i].Resources.Limits.Memory().IsZero()
		}
	}
	out := cgroup.Pod{UID: string(pod.UID), CPURequestMilli: req.Cpu().MilliValue()}
	switch qosOf(pod) {
	case corev1.PodQOSGuaranteed:
		out.Class = cgroup.Guaranteed
	case corev1.PodQOSBurstable:
		out.Class = cgroup.Burstable
	default:
		out.Class = cgroup.BestEffort
	}
	if r := pod.Spec.Resources; r != nil {
		limited, cpuLimited = limited || !r.Limits.Memory().IsZero(), cpuLimited || !r.Limits.Cpu().IsZero()
	}
	if cpuLimited {
		out.CPULimitMilli = lim.Cpu().MilliValue()
	}
	if limited {
		out.MemoryLimit = lim.Memory().Value()
	}
	return out
}
