package podspec

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Paths of /proc and /sys that a container does not see, or sees read-only, unless it asks for procMount Unmasked.
var (
	maskedPaths = []string{"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// EffectiveSecurity merges a pod's security context into a container's; the container's fields win.
func EffectiveSecurity(pod *corev1.Pod, c *corev1.Container) *corev1.SecurityContext {
	out := &corev1.SecurityContext{}
	if c.SecurityContext != nil {
		out = c.SecurityContext.DeepCopy()
	}
	if p := pod.Spec.SecurityContext; p != nil {
		inherit(&out.RunAsUser, p.RunAsUser)
		inherit(&out.RunAsGroup, p.RunAsGroup)
		inherit(&out.RunAsNonRoot, p.RunAsNonRoot)
		inherit(&out.SELinuxOptions, p.SELinuxOptions)
		inherit(&out.SeccompProfile, p.SeccompProfile)
		inherit(&out.AppArmorProfile, p.AppArmorProfile)
	}
	return out
}

func inherit[T any](field **T, from *T) {
	if *field == nil {
		*field = from
	}
}

// VerifyNonRoot refuses a container that would run as root though it must not. uid and user are the image's.
func VerifyNonRoot(pod *corev1.Pod, c *corev1.Container, sc *corev1.SecurityContext, uid *int64, user string) error {
	if !optional(sc.RunAsNonRoot) {
		return nil
	}
	if sc.RunAsUser != nil {
		if *sc.RunAsUser == 0 {
			return fmt.Errorf("container's runAsUser breaks non-root policy (pod: %q, container: %s)", pods.Describe(pod), c.Name)
		}
		return nil
	}
	switch {
	case uid == nil && user != "":
		return fmt.Errorf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root (pod: %q, container: %s)", user, pods.Describe(pod), c.Name)
	case uid != nil && *uid == 0:
		return fmt.Errorf("container has runAsNonRoot and image will run as root (pod: %q, container: %s)", pods.Describe(pod), c.Name)
	case uid != nil:
		if errs := validation.IsValidUserID(*uid); len(errs) > 0 {
			return fmt.Errorf("container has runAsNonRoot and image has an invalid user id (%d). (Must be 1-(%d)): %s (pod: %q, container: %s)",
				*uid, math.MaxInt32, strings.Join(errs, "; "), pods.Describe(pod), c.Name)
		}
	}
	return nil
}

// ContainerSecurity is the CRI form of a container's security context. target is the container whose process namespace an
// ephemeral container joins, or "".
func ContainerSecurity(pod *corev1.Pod, sc *corev1.SecurityContext, uid *int64, user, target, seccompRoot string) (*cri.LinuxContainerSecurityContext, error) {
	out := &cri.LinuxContainerSecurityContext{NamespaceOptions: namespaces(pod), NoNewPrivs: sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation}
	if caps := sc.Capabilities; caps != nil {
		out.Capabilities = &cri.Capability{}
		for _, c := range caps.Add {
			out.Capabilities.AddCapabilities = append(out.Capabilities.AddCapabilities, string(c))
		}
		for _, c := range caps.Drop {
			out.Capabilities.DropCapabilities = append(out.Capabilities.DropCapabilities, string(c))
		}
	}
	out.Privileged, out.ReadonlyRootfs = optional(sc.Privileged), optional(sc.ReadOnlyRootFilesystem)
	out.SelinuxOptions = selinux(sc.SELinuxOptions)
	if sc.RunAsUser != nil {
		out.RunAsUser = &cri.Int64Value{Value: *sc.RunAsUser}
	} else {
		if uid != nil {
			out.RunAsUser = &cri.Int64Value{Value: *uid}
		}
		out.RunAsUsername = user
	}
	if sc.RunAsGroup != nil {
		out.RunAsGroup = &cri.Int64Value{Value: *sc.RunAsGroup}
	}
	if sc.ProcMount == nil || *sc.ProcMount == corev1.DefaultProcMount {
		out.MaskedPaths, out.ReadonlyPaths = maskedPaths, readonlyPaths
	}
	var err error
	if out.Seccomp, err = seccomp(sc.SeccompProfile, seccompRoot); err != nil {
		return nil, err
	}
	out.Apparmor = apparmor(sc.AppArmorProfile)
	if out.SupplementalGroups, out.SupplementalGroupsPolicy, err = groups(pod); err != nil {
		return nil, err
	}
	if target != "" && out.NamespaceOptions.Pid == cri.NamespaceMode_CONTAINER {
		out.NamespaceOptions.Pid, out.NamespaceOptions.TargetId = cri.NamespaceMode_TARGET, target
	}
	return out, nil
}

func groups(pod *corev1.Pod) ([]int64, cri.SupplementalGroupsPolicy, error) {
	sc := pod.Spec.SecurityContext
	if sc == nil {
		return nil, 0, nil
	}
	var out []int64
	if sc.FSGroup != nil {
		out = append(out, *sc.FSGroup)
	}
	out = append(out, sc.SupplementalGroups...)
	if sc.SupplementalGroupsPolicy == nil {
		return out, 0, nil
	}
	p, ok := cri.SupplementalGroupsPolicy_value[string(*sc.SupplementalGroupsPolicy)]
	if !ok {
		return nil, 0, fmt.Errorf("unsupported supplementalGroupsPolicy: %s", *sc.SupplementalGroupsPolicy)
	}
	return out, cri.SupplementalGroupsPolicy(p), nil
}

func selinux(o *corev1.SELinuxOptions) *cri.SELinuxOption {
	if o == nil {
		return nil
	}
	return &cri.SELinuxOption{User: o.User, Role: o.Role, Type: o.Type, Level: o.Level}
}

func seccomp(p *corev1.SeccompProfile, root string) (*cri.SecurityProfile, error) {
	switch {
	case p == nil, p.Type == corev1.SeccompProfileTypeUnconfined:
		return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined}, nil
	case p.Type == corev1.SeccompProfileTypeRuntimeDefault:
		return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault}, nil
	case p.LocalhostProfile == nil || *p.LocalhostProfile == "":
		return nil, fmt.Errorf("localhostProfile must be set if seccompProfile type is Localhost.")
	}
	return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: filepath.Join(root, *p.LocalhostProfile)}, nil
}

func apparmor(p *corev1.AppArmorProfile) *cri.SecurityProfile {
	switch {
	case p == nil:
		return nil
	case p.Type == corev1.AppArmorProfileTypeRuntimeDefault:
		return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault}
	case p.Type == corev1.AppArmorProfileTypeLocalhost && p.LocalhostProfile != nil:
		return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: *p.LocalhostProfile}
	}
	return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined}
}

// namespaces says which of the host's namespaces a pod shares.
func namespaces(pod *corev1.Pod) *cri.NamespaceOption {
	mode := func(host bool) cri.NamespaceMode {
		if host {
			return cri.NamespaceMode_NODE
		}
		return cri.NamespaceMode_POD
	}
	out := &cri.NamespaceOption{Network: mode(pod.Spec.HostNetwork), Ipc: mode(pod.Spec.HostIPC), Pid: cri.NamespaceMode_CONTAINER}
	if pod.Spec.HostPID {
		out.Pid = cri.NamespaceMode_NODE
	} else if optional(pod.Spec.ShareProcessNamespace) {
		out.Pid = cri.NamespaceMode_POD
	}
	return out
}

func hasPrivileged(pod *corev1.Pod) bool {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if sc := list[i].SecurityContext; sc != nil && optional(sc.Privileged) {
				return true
			}
		}
	}
	return false
}
