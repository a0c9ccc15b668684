package kubelet

import (
	"context"
	"errors"
	"fmt"
	"os"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// sandboxConfig describes the sandbox of a pod to the runtime.
func (b *base) sandboxConfig(ctx context.Context, pod *corev1.Pod, attempt uint32) (*cri.PodSandboxConfig, error) {
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
	if cfg.Linux.SecurityContext.NamespaceOptions.UsernsOptions, err = b.podUsers(ctx, pod); err != nil {
		return nil, fmt.Errorf("Failed to generate sandbox config for pod %q: %w", pods.Describe(pod), err) //nolint:staticcheck // upstream's words
	}
	if b.cfg.Bundled {
		cfg.Linux.SecurityContext.Seccomp.ProfileType = cri.SecurityProfile_Unconfined // tools/pause has a closer one
	}
	return cfg, nil
}

// podUsers are the users of a pod: the host's, or those that the node gives to it, which must not be in doubt when anything of it is
// made. Nothing is asked of anybody for a pod that has the host's.
func (b *base) podUsers(ctx context.Context, pod *corev1.Pod) (*cri.UserNamespace, error) {
	if hostUsers := pod.Spec.HostUsers; hostUsers == nil || *hostUsers {
		return &cri.UserNamespace{Mode: cri.NamespaceMode_NODE}, nil
	}
	handler, err := b.objects.RuntimeHandler(ctx, pod)
	if err != nil {
		return nil, err
	}
	refused := "can't set `spec.hostUsers: false`, runtime does not support user namespaces"
	if handler != "" {
		refused = fmt.Sprintf("can't set `spec.hostUsers: false`, RuntimeClass handler %q does not support user namespaces", handler)
	}
	switch able, err := b.health.UserNamespaces(handler); {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", refused, err)
	case !able || b.users == nil:
		return nil, errors.New(refused)
	}
	return b.users.Get(pod.UID)
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
