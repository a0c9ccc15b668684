package valid

import (
	"fmt"
	"strings"

	"sampan.dev/internal/pattern"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *podCheck) checkPodSecurity() {
	sc, path := c.SecurityContext, c.path.Child("securityContext")
	if sc == nil {
		return
	}
	c.group(sc.FSGroup, path.Child("fsGroup"))
	c.user(sc.RunAsUser, path.Child("runAsUser"))
	c.group(sc.RunAsGroup, path.Child("runAsGroup"))
	for i := range sc.SupplementalGroups {
		c.group(&sc.SupplementalGroups[i], path.Child("supplementalGroups").Index(i))
	}
	c.sysctls(sc.Sysctls, path.Child("sysctls"))
	if p := sc.FSGroupChangePolicy; p != nil {
		c.add(OneOf(*p, path.Child("fsGroupChangePolicy"), corev1.FSGroupChangeOnRootMismatch, corev1.FSGroupChangeAlways)...)
	}
	c.seccomp(sc.SeccompProfile, path.Child("seccompProfile"))
	c.windowsOptions(sc.WindowsOptions, path.Child("windowsOptions"))
	c.appArmor(sc.AppArmorProfile, path.Child("appArmorProfile"))
	if p := sc.SupplementalGroupsPolicy; p != nil {
		c.add(OneOf(*p, path.Child("supplementalGroupsPolicy"), corev1.SupplementalGroupsPolicyMerge, corev1.SupplementalGroupsPolicyStrict)...)
	}
	if p := sc.SELinuxChangePolicy; p != nil {
		c.add(OneOf(*p, path.Child("seLinuxChangePolicy"), corev1.SELinuxChangePolicyRecursive, corev1.SELinuxChangePolicyMountOption)...)
	}
}

func (c *podCheck) user(id *int64, path *field.Path) {
	if id != nil {
		c.invalidAll(path, *id, validation.IsValidUserID(*id))
	}
}

func (c *podCheck) group(id *int64, path *field.Path) {
	if id != nil {
		c.invalidAll(path, *id, validation.IsValidGroupID(*id))
	}
}

func (c *podCheck) containerSecurity(sc *corev1.SecurityContext, path *field.Path) {
	if sc == nil {
		return
	}
	c.user(sc.RunAsUser, path.Child("runAsUser"))
	c.group(sc.RunAsGroup, path.Child("runAsGroup"))
	if m := sc.ProcMount; m != nil {
		c.add(OneOf(*m, path.Child("procMount"), corev1.DefaultProcMount, corev1.UnmaskedProcMount)...)
		if c.hostUsers() && *m == corev1.UnmaskedProcMount {
			c.invalid(path.Child("procMount"), *m, "`hostUsers` must be false to use `Unmasked`")
		}
	}
	c.seccomp(sc.SeccompProfile, path.Child("seccompProfile"))
	if e := sc.AllowPrivilegeEscalation; e != nil && !*e {
		if sc.Privileged != nil && *sc.Privileged {
			c.invalid(path, showSecurity(sc), "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
		}
		if sc.Capabilities != nil {
			for _, added := range sc.Capabilities.Add {
				if added == "CAP_SYS_ADMIN" {
					c.invalid(path, showSecurity(sc), "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN")
				}
			}
		}
	}
	c.windowsOptions(sc.WindowsOptions, path.Child("windowsOptions"))
	c.appArmor(sc.AppArmorProfile, path.Child("appArmorProfile"))
}

func (c *podCheck) seccomp(p *corev1.SeccompProfile, path *field.Path) {
	if p == nil {
		return
	}
	if p.Type == "" {
		c.required(path.Child("type"), "type is required when seccompProfile is set")
	} else {
		c.add(InOrder(p.Type, path.Child("type"), corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)...)
	}
	at := path.Child("localhostProfile")
	switch {
	case p.Type == corev1.SeccompProfileTypeLocalhost && p.LocalhostProfile == nil:
		c.required(at, "must be set when seccomp type is Localhost")
	case p.Type == corev1.SeccompProfileTypeLocalhost:
		c.add(descendingPath(*p.LocalhostProfile, at)...)
	case p.LocalhostProfile != nil:
		c.invalid(at, p, "can only be set when seccomp type is Localhost")
	}
}

func (c *podCheck) appArmor(p *corev1.AppArmorProfile, path *field.Path) {
	if p == nil {
		return
	}
	at := path.Child("localhostProfile")
	switch p.Type {
	case corev1.AppArmorProfileTypeLocalhost:
		const needed = "must be set when AppArmor type is Localhost"
		if p.LocalhostProfile == nil {
			c.required(at, needed)
			return
		}
		name := *p.LocalhostProfile
		if strings.TrimSpace(name) != name {
			c.invalid(at, name, "must not be padded with whitespace")
		} else if name == "" {
			c.required(at, needed)
		}
		const longest = 4095 // PATH_MAX - 1
		if len(name) > longest {
			c.add(field.TooLong(at, "", longest))
		}
	case corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined:
		if p.LocalhostProfile != nil {
			c.invalid(at, p.LocalhostProfile, "can only be set when AppArmor type is Localhost")
		}
	case "":
		c.required(path.Child("type"), "type is required when appArmorProfile is set")
	default:
		c.add(InOrder(p.Type, path.Child("type"), corev1.AppArmorProfileTypeLocalhost, corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined)...)
	}
}

var sysctlName = pattern.New(`^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`)

func (c *podCheck) sysctls(list []corev1.Sysctl, path *field.Path) {
	seen := map[string]bool{}
	const longest = 253
	for i, s := range list {
		at := path.Index(i).Child("name")
		switch {
		case s.Name == "":
			c.required(at, "")
		case len(s.Name) > longest || !sysctlName.MatchString(s.Name):
			c.invalid(at, s.Name, fmt.Sprintf("must have at most %d characters and match regex %s", longest, sysctlName))
		case seen[s.Name]:
			c.duplicate(at, s.Name)
		}
		seen[s.Name] = true
		switch name := dotted(s.Name); {
		case c.HostNetwork && strings.HasPrefix(name, "net."):
			c.invalid(at, s.Name, "may not be specified when 'hostNetwork' is true")
		case c.HostIPC && ofIPC(name):
			c.invalid(at, s.Name, "may not be specified when 'hostIPC' is true")
		}
	}
}

// dotted returns a sysctl's name in its form with dots. In the form with slashes dots and slashes trade places.
func dotted(name string) string {
	if i := strings.IndexAny(name, "./"); i < 0 || name[i] == '.' {
		return name
	}
	return strings.NewReplacer("/", ".", ".", "/").Replace(name)
}

func ofIPC(sysctl string) bool {
	for _, prefix := range []string{"kernel.shm", "kernel.msg", "fs.mqueue."} {
		if strings.HasPrefix(sysctl, prefix) {
			return true
		}
	}
	return sysctl == "kernel.sem"
}

// showSecurity shows a security context as upstream's messages do.
func showSecurity(sc *corev1.SecurityContext) shownSecurity {
	out := shownSecurity{
		Privileged: sc.Privileged, SELinuxOptions: sc.SELinuxOptions, WindowsOptions: sc.WindowsOptions, RunAsUser: sc.RunAsUser,
		RunAsGroup: sc.RunAsGroup, RunAsNonRoot: sc.RunAsNonRoot, ReadOnlyRootFilesystem: sc.ReadOnlyRootFilesystem,
		AllowPrivilegeEscalation: sc.AllowPrivilegeEscalation, ProcMount: sc.ProcMount, SeccompProfile: sc.SeccompProfile, AppArmorProfile: sc.AppArmorProfile,
	}
	if c := sc.Capabilities; c != nil {
		out.Capabilities = &shownCapabilities{c.Add, c.Drop}
	}
	return out
}

type shownCapabilities struct{ Add, Drop []corev1.Capability }

// shownSecurity is a security context as upstream's messages show it: by the names of its fields in Go.
type shownSecurity struct {
	Capabilities             *shownCapabilities
	Privileged               *bool
	SELinuxOptions           *corev1.SELinuxOptions
	WindowsOptions           *corev1.WindowsSecurityContextOptions
	RunAsUser                *int64
	RunAsGroup               *int64
	RunAsNonRoot             *bool
	ReadOnlyRootFilesystem   *bool
	AllowPrivilegeEscalation *bool
	ProcMount                *corev1.ProcMountType
	SeccompProfile           *corev1.SeccompProfile
	AppArmorProfile          *corev1.AppArmorProfile
}
