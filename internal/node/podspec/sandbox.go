package podspec

import (
	"strings"

	"sampan.dev/internal/node/cgroup"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// SandboxLinux is the Linux part of a sandbox's description. parent is the control group that the pod's groups are made in.
func SandboxLinux(pod *corev1.Pod, parent string) (*cri.LinuxPodSandboxConfig, error) {
	sc := &cri.LinuxSandboxSecurityContext{
		Privileged:       hasPrivileged(pod),
		NamespaceOptions: namespaces(pod),
		Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
	}
	lc := &cri.LinuxPodSandboxConfig{CgroupParent: parent, SecurityContext: sc, Sysctls: map[string]string{}}
	if p := pod.Spec.SecurityContext; p != nil {
		for _, s := range p.Sysctls {
			lc.Sysctls[SysctlName(s.Name)] = s.Value
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
	lc.Resources = LinuxResources(req, lim)
	lc.Overhead = &cri.LinuxContainerResources{}
	if len(pod.Spec.Overhead) > 0 {
		lc.Overhead = LinuxResources(pod.Spec.Overhead, pod.Spec.Overhead)
	}
	return lc, nil
}

// SysctlName writes a sysctl name with dots between its parts, as runc wants it.
func SysctlName(name string) string {
	if i := strings.IndexAny(name, "./"); i < 0 || name[i] == '.' {
		return name
	}
	return strings.NewReplacer("/", ".", ".", "/").Replace(name)
}

// LinuxResources turns requests and limits into shares and quotas.
func LinuxResources(req, lim corev1.ResourceList) *cri.LinuxContainerResources {
	out := &cri.LinuxContainerResources{CpuPeriod: cgroup.Period, CpuQuota: cgroup.Quota(lim.Cpu().MilliValue()), MemoryLimitInBytes: lim.Memory().Value()}
	cpu := lim.Cpu()
	if _, ok := req[corev1.ResourceCPU]; ok {
		cpu = req.Cpu()
	}
	out.CpuShares = int64(cgroup.Shares(cpu.MilliValue()))
	return out
}

// PortMappings are the ports that the containers of a pod declare.
func PortMappings(pod *corev1.Pod) []*cri.PortMapping {
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
