package kubelet

import (
	"fmt"
	"os"

	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// sandboxConfig describes the sandbox of a pod to the runtime.
func (b *base) sandboxConfig(pod *corev1.Pod, attempt uint32) (*cri.PodSandboxConfig, error) {
	host, err := readResolvConf(b.cfg.ResolvConf)
	if err != nil {
		return nil, err
	}
	dns, warnings := podspec.DNS(pod, host, b.cfg.ClusterDNS, b.cfg.ClusterDomain)
	for _, w := range warnings {
		b.events.Pod(pod, "", corev1.EventTypeWarning, "DNSConfigForming", "%s", w)
	}
	cfg := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: pod.Name, Namespace: pod.Namespace, Uid: string(pod.UID), Attempt: attempt},
		Labels:       runtime.SandboxLabels(pod),
		Annotations:  pod.Annotations,
		DnsConfig:    dns,
		LogDirectory: b.paths.PodLogs(pod),
		PortMappings: podspec.PortMappings(pod),
	}
	if !pod.Spec.HostNetwork {
		name, domain, err := podspec.Hostname(pod, b.cfg.ClusterDomain)
		if err != nil {
			return nil, err
		}
		if cfg.Hostname, err = podspec.KernelHostname(pod, name, domain); err != nil {
			return nil, err
		}
	}
	if cfg.Linux, err = podspec.SandboxLinux(pod, b.cgroups.Parent(podspec.Cgroup(pod))); err != nil {
		return nil, err
	}
	if b.cfg.Bundled {
		cfg.Linux.SecurityContext.Seccomp.ProfileType = cri.SecurityProfile_Unconfined // tools/pause has a closer one
	}
	return cfg, nil
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
