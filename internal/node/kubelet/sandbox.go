package kubelet

import (
	"fmt"
	"os"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/podspec"
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
	dns, warnings := podspec.DNS(pod, host, k.cfg.ClusterDNS, k.cfg.ClusterDomain)
	for _, w := range warnings {
		k.events.Pod(pod, "", corev1.EventTypeWarning, "DNSConfigForming", "%s", w)
	}
	cfg := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: pod.Name, Namespace: pod.Namespace, Uid: string(pod.UID), Attempt: attempt},
		Labels:       runtime.SandboxLabels(pod),
		Annotations:  pod.Annotations,
		DnsConfig:    dns,
		LogDirectory: k.cfg.logDir(pod),
		PortMappings: podspec.PortMappings(pod),
	}
	if !pod.Spec.HostNetwork {
		name, domain, err := podspec.Hostname(pod, k.cfg.ClusterDomain)
		if err != nil {
			return nil, err
		}
		if cfg.Hostname, err = podspec.KernelHostname(pod, name, domain); err != nil {
			return nil, err
		}
	}
	if cfg.Linux, err = podspec.SandboxLinux(pod, k.cgroups.Parent(cgroupPod(pod))); err != nil {
		return nil, err
	}
	if k.cfg.Bundled {
		cfg.Linux.SecurityContext.Seccomp.ProfileType = cri.SecurityProfile_Unconfined // tools/pause has a closer one
	}
	return cfg, nil
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
	switch pods.QoS(pod) {
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

// readResolvConf reads the node's resolver configuration; a path of "" means none at all.
func readResolvConf(path string) (*cri.DNSConfig, error) {
	if path == "" {
		return &cri.DNSConfig{Servers: []string{"127.0.0.1"}, Searches: []string{"."}}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read resolver configuration: %w", err)
	}
	defer f.Close()
	return podspec.ParseResolvConf(f), nil
}
