package valid

import (
	"fmt"
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *podCheck) checkDNSConfig() {
	d, path := c.DNSConfig, c.path.Child("dnsConfig")
	if c.DNSPolicy == corev1.DNSNone {
		if d == nil {
			c.required(path, fmt.Sprintf("must provide `dnsConfig` when `dnsPolicy` is %s", corev1.DNSNone))
			return
		}
		if len(d.Nameservers) == 0 {
			c.required(path.Child("nameservers"), fmt.Sprintf("must provide at least one DNS nameserver when `dnsPolicy` is %s", corev1.DNSNone))
			return
		}
	}
	if d == nil {
		return
	}
	const maxServers, maxSearches, maxChars = 3, 32, 2048 // what resolvers can read
	if len(d.Nameservers) > maxServers {
		c.invalid(path.Child("nameservers"), d.Nameservers, fmt.Sprintf("must not have more than %v nameservers", maxServers))
	}
	for i, ip := range d.Nameservers {
		c.add(IP(ip, nil, path.Child("nameservers").Index(i))...)
	}
	if len(d.Searches) > maxSearches {
		c.invalid(path.Child("searches"), d.Searches, fmt.Sprintf("must not have more than %v search paths", maxSearches))
	}
	if len(strings.Join(d.Searches, " ")) > maxChars {
		c.invalid(path.Child("searches"), d.Searches, fmt.Sprintf("must not have more than %v characters (including spaces) in the search list", maxChars))
	}
	for i, s := range d.Searches {
		if s != "." {
			s = strings.TrimSuffix(s, ".")
			c.invalidAll(path.Child("searches").Index(i), s, validation.IsDNS1123SubdomainWithUnderscore(s))
		}
	}
	for i, o := range d.Options {
		if o.Name == "" {
			c.required(path.Child("options").Index(i), "must not be empty")
		}
	}
}

func (c *podCheck) checkHostAliases() {
	for i, a := range c.HostAliases {
		path := c.path.Child("hostAliases").Index(i)
		c.add(IP(a.IP, nil, path.Child("ip"))...)
		for j, name := range a.Hostnames {
			c.add(DNSSubdomain(name, path.Child("hostnames").Index(j))...)
		}
	}
}

func (c *podCheck) checkHostUsers() {
	if c.hostUsers() {
		return
	}
	const msg = "when `hostUsers` is false"
	if c.HostNetwork {
		c.forbidden(c.path.Child("hostNetwork"), msg)
	}
	if c.HostPID {
		c.forbidden(c.path.Child("HostPID"), msg)
	}
	if c.HostIPC {
		c.forbidden(c.path.Child("HostIPC"), msg)
	}
	eachContainer(c.PodSpec, c.path, func(ctr *corev1.Container, path *field.Path) {
		if len(ctr.VolumeDevices) > 0 {
			c.forbidden(path.Child("volumeDevices"), msg)
		}
	})
}

// checkGates checks readiness gates and scheduling gates.
func (c *podCheck) checkGates() {
	for i, g := range c.ReadinessGates {
		c.add(QualifiedName(string(g.ConditionType), c.path.Child("readinessGates").Index(i).Child("conditionType"))...)
	}
	seen := map[string]bool{}
	for i, g := range c.SchedulingGates {
		path := c.path.Child("schedulingGates").Index(i)
		c.add(QualifiedName(g.Name, path)...)
		if seen[g.Name] {
			c.duplicate(path, g.Name)
		}
		seen[g.Name] = true
	}
}

// checkGroup checks the scheduling group.
func (c *podCheck) checkGroup() {
	g := c.SchedulingGroup
	if g == nil {
		return
	}
	path := c.path.Child("schedulingGroup", "podGroupName")
	if g.PodGroupName == nil {
		c.invalid(path, g.PodGroupName, "must specify one of: `podGroupName`")
		return
	}
	c.add(DNSSubdomain(*g.PodGroupName, path)...)
}

// checkNames checks the names by which the pod goes, and those of its account and node.
func (c *podCheck) checkNames() {
	for i, s := range c.ImagePullSecrets {
		if s != (corev1.LocalObjectReference{Name: s.Name}) {
			c.invalid(c.path.Child("imagePullSecrets").Index(i), s, "only name may be set")
		}
	}
	if h := c.HostnameOverride; h != nil {
		path := c.path.Child("hostnameOverride")
		if c.SetHostnameAsFQDN != nil && *c.SetHostnameAsFQDN {
			c.forbidden(path, "may not be specified when setHostnameAsFQDN is true")
		}
		if c.HostNetwork {
			c.forbidden(path, "may not be specified when hostNetwork is true")
		}
		if len(*h) > 64 {
			c.add(field.TooLong(path, "", 64))
		}
		c.add(DNSSubdomain(*h, path)...)
	}
	if n := c.ServiceAccountName; n != "" {
		c.add(ServiceAccountName(n, c.path.Child("serviceAccountName"))...)
	}
	if c.DeprecatedServiceAccount != c.ServiceAccountName {
		c.invalid(c.path.Child("deprecatedServiceAccount"), c.DeprecatedServiceAccount, fmt.Sprintf("must be the same as serviceAccountName: %q", c.ServiceAccountName))
	}
	if c.NodeName != "" {
		c.add(NodeName(c.NodeName, c.path.Child("nodeName"))...)
	}
}

func (c *podCheck) checkLimits() {
	if s := c.ActiveDeadlineSeconds; s != nil && (*s < 1 || *s > math.MaxInt32) {
		c.invalid(c.path.Child("activeDeadlineSeconds"), *s, validation.InclusiveRangeError(1, math.MaxInt32))
	}
	if c.Hostname != "" {
		c.add(DNSLabel(c.Hostname, c.path.Child("hostname"))...)
	}
	if c.Subdomain != "" {
		c.add(DNSLabel(c.Subdomain, c.path.Child("subdomain"))...)
	}
}

// checkClasses checks the names of the priority and runtime classes, and the preemption policy.
func (c *podCheck) checkClasses() {
	if n := c.PriorityClassName; n != "" {
		c.invalidAll(c.path.Child("priorityClassName"), n, apivalidation.NameIsDNSSubdomain(n, false))
	}
	if n := c.RuntimeClassName; n != nil {
		c.invalidAll(c.path.Child("runtimeClassName"), *n, apivalidation.NameIsDNSSubdomain(*n, false))
	}
	if p := c.PreemptionPolicy; p != nil {
		c.add(RequiredInOrder(*p, c.path.Child("preemptionPolicy"), corev1.PreemptLowerPriority, corev1.PreemptNever)...)
	}
}
