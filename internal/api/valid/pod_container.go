package valid

import (
	"fmt"
	"reflect"
	"strings"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *podCheck) checkContainers() {
	path := c.path.Child("containers")
	if len(c.Containers) == 0 {
		c.required(path, "")
		return
	}
	names, ports := map[string]bool{}, map[string]bool{}
	for i := range c.Containers {
		ctr, path := &c.Containers[i], path.Index(i)
		c.container(ctr, path)
		if names[ctr.Name] {
			c.duplicate(path.Child("name"), ctr.Name)
		}
		names[ctr.Name] = true
		c.lifecycle(ctr, path)
		c.probes(ctr, path)
		c.restartPolicy(ctr, path)
	}
	for i := range c.Containers {
		c.uniqueHostPorts(&c.Containers[i], ports, path.Index(i))
	}
}

func (c *podCheck) checkInitContainers() {
	names := map[string]bool{}
	for i := range c.Containers {
		names[c.Containers[i].Name] = true
	}
	for i := range c.InitContainers {
		ctr, path := &c.InitContainers[i], c.path.Child("initContainers").Index(i)
		c.container(ctr, path)
		if ctr.RestartPolicy != nil || len(ctr.RestartPolicyRules) == 0 {
			c.restartPolicy(ctr, path)
		} else {
			c.required(path.Child("restartPolicy"), "must specify restartPolicy when restart rules are used")
		}
		if names[ctr.Name] {
			c.duplicate(path.Child("name"), ctr.Name)
		} else if ctr.Name != "" {
			names[ctr.Name] = true
		}
		// Upstream compares the ports of each init container only with each other, and names the first one's path.
		c.uniqueHostPorts(ctr, map[string]bool{}, c.path.Child("initContainers").Index(0))
		if pods.IsSidecar(ctr) {
			c.lifecycle(ctr, path)
			c.probes(ctr, path)
			continue
		}
		const msg = "may not be set for init containers without restartPolicy=Always"
		for _, f := range []struct {
			name string
			set  bool
		}{
			{"lifecycle", ctr.Lifecycle != nil},
			{"livenessProbe", ctr.LivenessProbe != nil},
			{"readinessProbe", ctr.ReadinessProbe != nil},
			{"startupProbe", ctr.StartupProbe != nil},
		} {
			if f.set {
				c.forbidden(path.Child(f.name), msg)
			}
		}
		for j, p := range ctr.ResizePolicy {
			if p.RestartPolicy == corev1.RestartContainer {
				c.invalid(path.Child("resizePolicy").Index(j).Child("restartPolicy"), p.RestartPolicy, "must not be set to 'RestartContainer' for non-sidecar initContainers")
			}
		}
	}
}

func (c *podCheck) checkEphemeralContainers() {
	others := map[string]bool{}
	for i := range c.Containers {
		others[c.Containers[i].Name] = true
	}
	for i := range c.InitContainers {
		others[c.InitContainers[i].Name] = true
	}
	names := map[string]bool{}
	const msg = "cannot be set for an Ephemeral Container"
	for i := range c.EphemeralContainers {
		e, path := &c.EphemeralContainers[i], c.path.Child("ephemeralContainers").Index(i)
		ctr := (*corev1.Container)(&e.EphemeralContainerCommon)
		c.container(ctr, path)
		c.add(ImagePadding(ctr, path)...)
		if names[e.Name] || others[e.Name] {
			c.duplicate(path.Child("name"), e.Name)
		}
		names[e.Name] = true
		if e.TargetContainerName != "" && !others[e.TargetContainerName] {
			c.add(field.NotFound(path.Child("targetContainerName"), e.TargetContainerName))
		}
		c.ephemeralFields(&e.EphemeralContainerCommon, path, msg)
		for j, m := range e.VolumeMounts {
			if m.SubPath != "" {
				c.forbidden(path.Child("volumeMounts").Index(j).Child("subPath"), msg)
			}
			if m.SubPathExpr != "" {
				c.forbidden(path.Child("volumeMounts").Index(j).Child("subPathExpr"), msg)
			}
		}
	}
}

// ephemeralFields forbids every field of a container that is not named here, so that a field which is new to the API is
// not let through by accident.
func (c *podCheck) ephemeralFields(e *corev1.EphemeralContainerCommon, path *field.Path, msg string) {
	v := reflect.ValueOf(*e)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch name {
		case "Name", "Image", "Command", "Args", "WorkingDir", "EnvFrom", "Env", "VolumeMounts", "VolumeDevices",
			"TerminationMessagePath", "TerminationMessagePolicy", "ImagePullPolicy", "SecurityContext", "Stdin",
			"StdinOnce", "TTY":
			continue
		}
		if f := v.Field(i); !f.IsZero() {
			c.forbidden(path.Child(lowerFirst(name)), msg)
		}
	}
}

// container checks what containers of all three sorts have in common.
func (c *podCheck) container(ctr *corev1.Container, path *field.Path) {
	if ctr.Name == "" {
		c.required(path.Child("name"), "")
	} else {
		c.add(DNSLabel(ctr.Name, path.Child("name"))...)
	}
	if ctr.Image == "" {
		c.required(path.Child("image"), "")
	}
	c.add(RequiredInOrder(ctr.TerminationMessagePolicy, path.Child("terminationMessagePolicy"), corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)...)
	c.containerPorts(ctr.Ports, path.Child("ports"))
	c.env(ctr.Env, path.Child("env"))
	c.envFrom(ctr.EnvFrom, path.Child("envFrom"))
	c.mounts(ctr, path.Child("volumeMounts"))
	c.devices(ctr, path.Child("volumeDevices"))
	c.add(pullPolicy(ctr.ImagePullPolicy, path.Child("imagePullPolicy"))...)
	c.containerResources(&ctr.Resources, path.Child("resources"))
	c.resizePolicy(ctr.ResizePolicy, path.Child("resizePolicy"))
	c.containerSecurity(ctr.SecurityContext, path.Child("securityContext"))
}

// ImagePadding refuses space around an image's name. Templates do not have this rule.
func ImagePadding(ctr *corev1.Container, path *field.Path) field.ErrorList {
	if strings.TrimSpace(ctr.Image) == ctr.Image {
		return nil
	}
	return Invalid(path.Child("image"), ctr.Image, "must not have leading or trailing whitespace")
}

func pullPolicy(policy corev1.PullPolicy, path *field.Path) field.ErrorList {
	return RequiredOneOf(policy, path, corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
}

func (c *podCheck) containerPorts(ports []corev1.ContainerPort, path *field.Path) {
	names := map[string]bool{}
	for i, p := range ports {
		path := path.Index(i)
		if p.Name != "" {
			if msgs := validation.IsValidPortName(p.Name); len(msgs) > 0 {
				c.invalidAll(path.Child("name"), p.Name, msgs)
			} else if names[p.Name] {
				c.duplicate(path.Child("name"), p.Name)
			} else {
				names[p.Name] = true
			}
		}
		if p.ContainerPort == 0 {
			c.required(path.Child("containerPort"), "")
		} else {
			c.add(Port(p.ContainerPort, path.Child("containerPort"))...)
		}
		if p.HostPort != 0 {
			c.add(Port(p.HostPort, path.Child("hostPort"))...)
		}
		c.add(RequiredOneOf(p.Protocol, path.Child("protocol"), Protocols()...)...)
	}
}

func (c *podCheck) uniqueHostPorts(ctr *corev1.Container, seen map[string]bool, path *field.Path) {
	for i, p := range ctr.Ports {
		if p.HostPort == 0 {
			continue
		}
		key := fmt.Sprintf("%s/%s/%d", p.Protocol, p.HostIP, p.HostPort)
		if seen[key] {
			c.duplicate(path.Child("ports").Index(i).Child("hostPort"), key)
		}
		seen[key] = true
	}
}

// checkHostPorts demands that in the host's network a container's port and its host port are one.
func (c *podCheck) checkHostPorts() {
	if !c.HostNetwork {
		return
	}
	for i := range c.Containers {
		for j, p := range c.Containers[i].Ports {
			if (c.isPod || p.HostPort != 0) && p.HostPort != p.ContainerPort {
				c.invalid(c.path.Child("containers").Index(i).Child("ports").Index(j).Child("hostPort"), p.HostPort, "must match `containerPort` when `hostNetwork` is true")
			}
		}
	}
}

func (c *podCheck) restartPolicy(ctr *corev1.Container, path *field.Path) {
	rules := path.Child("restartPolicyRules")
	if ctr.RestartPolicy == nil {
		if len(ctr.RestartPolicyRules) > 0 {
			c.required(path.Child("restartPolicy"), "must specify restartPolicy when restart rules are used")
		}
	} else {
		c.add(OneOf(*ctr.RestartPolicy, path.Child("restartPolicy"), corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure)...)
	}
	if n := len(ctr.RestartPolicyRules); n > 20 {
		c.add(field.TooMany(rules, n, 20))
	}
	for i, r := range ctr.RestartPolicyRules {
		path := rules.Index(i)
		c.add(OneOf(r.Action, path.Child("action"), corev1.ContainerRestartRuleActionRestart, corev1.ContainerRestartRuleActionRestartAllContainers)...)
		if r.ExitCodes == nil {
			c.required(path.Child("exitCodes"), "must be specified")
			continue
		}
		c.add(OneOf(r.ExitCodes.Operator, path.Child("exitCodes", "operator"), corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn)...)
		if n := len(r.ExitCodes.Values); n > 255 {
			c.add(field.TooMany(path.Child("exitCodes", "values"), n, 255))
		}
	}
}

func (c *podCheck) resizePolicy(policies []corev1.ContainerResizePolicy, path *field.Path) {
	seen := map[corev1.ResourceName]bool{}
	for i, p := range policies {
		if seen[p.ResourceName] {
			c.duplicate(path.Index(i), p.ResourceName)
		}
		seen[p.ResourceName] = true
		c.add(RequiredOneOf(p.ResourceName, path, corev1.ResourceCPU, corev1.ResourceMemory)...)
		c.add(RequiredOneOf(p.RestartPolicy, path, corev1.NotRequired, corev1.RestartContainer)...)
		if c.RestartPolicy == corev1.RestartPolicyNever && p.RestartPolicy != corev1.NotRequired {
			c.invalid(path, p.RestartPolicy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'")
		}
	}
}
