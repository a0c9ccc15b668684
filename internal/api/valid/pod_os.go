package valid

import (
	"fmt"
	"strings"

	"sampan.dev/internal/pattern"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// checkOS checks spec.os, and that nothing is set which the named system does not have.
func (c *podCheck) checkOS() {
	if c.OS == nil {
		return
	}
	path := c.path.Child("os")
	switch c.OS.Name {
	case "":
		c.required(path.Child("name"), "")
	case corev1.Linux:
		c.checkLinux()
	case corev1.Windows:
		c.checkWindows()
	default:
		c.add(OneOf(c.OS.Name, path, corev1.Linux, corev1.Windows)...)
	}
}

func (c *podCheck) checkLinux() {
	const msg = "windows options cannot be set for a linux pod"
	if sc := c.SecurityContext; sc != nil && sc.WindowsOptions != nil {
		c.forbidden(c.path.Child("securityContext", "windowsOptions"), msg)
	}
	eachContainer(c.PodSpec, c.path, func(ctr *corev1.Container, path *field.Path) {
		if sc := ctr.SecurityContext; sc != nil && sc.WindowsOptions != nil {
			c.forbidden(path.Child("securityContext", "windowsOptions"), msg)
		}
	})
}

// setField is a field that a Windows pod may not have.
type setField struct {
	name string
	set  bool
}

func (c *podCheck) notOnWindows(path *field.Path, fields ...setField) {
	for _, f := range fields {
		if f.set {
			c.forbidden(path.Child(f.name), "cannot be set for a windows pod")
		}
	}
}

func (c *podCheck) checkWindows() {
	if sc := c.SecurityContext; sc != nil {
		c.notOnWindows(c.path.Child("securityContext"),
			setField{"appArmorProfile", sc.AppArmorProfile != nil},
			setField{"seLinuxOptions", sc.SELinuxOptions != nil},
			setField{"seccompProfile", sc.SeccompProfile != nil},
			setField{"fsGroup", sc.FSGroup != nil},
			setField{"fsGroupChangePolicy", sc.FSGroupChangePolicy != nil},
			setField{"sysctls", len(sc.Sysctls) > 0},
			setField{"runAsUser", sc.RunAsUser != nil},
			setField{"runAsGroup", sc.RunAsGroup != nil},
			setField{"supplementalGroups", sc.SupplementalGroups != nil},
			setField{"supplementalGroupsPolicy", sc.SupplementalGroupsPolicy != nil},
			setField{"seLinuxChangePolicy", sc.SELinuxChangePolicy != nil},
		)
	}
	c.notOnWindows(c.path,
		setField{"hostUsers", c.HostUsers != nil},
		setField{"hostPID", c.HostPID},
		setField{"hostIPC", c.HostIPC},
		setField{"shareProcessNamespace", c.ShareProcessNamespace != nil},
	)
	eachContainer(c.PodSpec, c.path, func(ctr *corev1.Container, path *field.Path) {
		sc := ctr.SecurityContext
		if sc == nil {
			return
		}
		c.notOnWindows(path.Child("securityContext"),
			setField{"appArmorProfile", sc.AppArmorProfile != nil},
			setField{"seLinuxOptions", sc.SELinuxOptions != nil},
			setField{"seccompProfile", sc.SeccompProfile != nil},
			setField{"capabilities", sc.Capabilities != nil},
			setField{"readOnlyRootFilesystem", sc.ReadOnlyRootFilesystem != nil},
			setField{"privileged", sc.Privileged != nil},
			setField{"allowPrivilegeEscalation", sc.AllowPrivilegeEscalation != nil},
			setField{"procMount", sc.ProcMount != nil},
			setField{"runAsUser", sc.RunAsUser != nil},
			setField{"runAsGroup", sc.RunAsGroup != nil},
		)
	})
}

// checkHostProcess demands that a pod's containers are Windows host processes all or none, and then in the host's network.
func (c *podCheck) checkHostProcess() {
	var ofPod *bool
	if sc := c.SecurityContext; sc != nil && sc.WindowsOptions != nil {
		ofPod = sc.WindowsOptions.HostProcess
	}
	all, host := 0, 0
	eachContainer(c.PodSpec, c.path, func(ctr *corev1.Container, path *field.Path) {
		all++
		of := ofPod
		if sc := ctr.SecurityContext; sc != nil && sc.WindowsOptions != nil && sc.WindowsOptions.HostProcess != nil {
			of = sc.WindowsOptions.HostProcess
			if ofPod != nil && *ofPod != *of {
				c.invalid(path.Child("securityContext", "windowsOptions", "hostProcess"), *of, fmt.Sprintf("pod hostProcess value must be identical if both are specified, was %v", *ofPod))
			}
		}
		if of != nil && *of {
			host++
		}
	})
	if host == 0 {
		return
	}
	if host != all {
		c.invalid(c.path, "", "If pod contains any hostProcess containers then all containers must be HostProcess containers")
	}
	if !c.HostNetwork {
		c.invalid(c.path.Child("hostNetwork"), c.HostNetwork, "hostNetwork must be true if pod contains any hostProcess containers")
	}
}

var (
	windowsControl = pattern.New(`[[:cntrl:]]+`)
	windowsNetBIOS = pattern.New(`^[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}$`)
	windowsDNS     = pattern.New(`^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$`)
	windowsBadUser = pattern.New(`["/\\:;|=,\+\*\?<>@\[\]]`)
	windowsDots    = pattern.New(`^[\. ]+$`)
)

func (c *podCheck) windowsOptions(w *corev1.WindowsSecurityContextOptions, path *field.Path) {
	if w == nil {
		return
	}
	if n := w.GMSACredentialSpecName; n != nil {
		c.invalidAll(path.Child("gmsaCredentialSpecName"), *n, validation.IsDNS1123Subdomain(*n))
	}
	if s := w.GMSACredentialSpec; s != nil {
		const limitKiB = 64
		if *s == "" {
			c.invalid(path.Child("gmsaCredentialSpec"), *s, "gmsaCredentialSpec cannot be an empty string")
		} else if len(*s) > limitKiB*1024 {
			c.invalid(path.Child("gmsaCredentialSpec"), *s, fmt.Sprintf("gmsaCredentialSpec size must be under %d KiB", limitKiB))
		}
	}
	if w.RunAsUserName != nil {
		c.windowsUser(*w.RunAsUserName, path.Child("runAsUserName"))
	}
}

func (c *podCheck) windowsUser(name string, path *field.Path) {
	domain, user, hasDomain := strings.Cut(name, `\`)
	if !hasDomain {
		domain, user = "", name
	}
	switch {
	case name == "":
		c.invalid(path, name, "runAsUserName cannot be an empty string")
		return
	case windowsControl.MatchString(name):
		c.invalid(path, name, "runAsUserName cannot contain control characters")
		return
	case strings.Contains(user, `\`):
		c.invalid(path, name, "runAsUserName cannot contain more than one backslash")
		return
	}
	for _, r := range []struct {
		broken bool
		detail string
	}{
		{len(domain) >= 256, "runAsUserName's Domain length must be under 256 characters"},
		{hasDomain && !windowsNetBIOS.MatchString(domain) && !windowsDNS.MatchString(domain), "runAsUserName's Domain doesn't match the NetBios nor the DNS format"},
		{user == "", "runAsUserName's User cannot be empty"},
		{len(user) > 104, "runAsUserName's User length must not be longer than 104 characters"},
		{windowsDots.MatchString(user), "runAsUserName's User cannot contain only periods or spaces"},
		{windowsBadUser.MatchString(user), `runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]`},
	} {
		if r.broken {
			c.invalid(path, name, r.detail)
		}
	}
}
