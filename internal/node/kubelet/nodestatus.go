package kubelet

import (
	"cmp"
	"context"
	"net"
	"os"
	goruntime "runtime"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/node/evict"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const goArch = goruntime.GOARCH

// maxImages is how many images a node's status names, the largest first.
const maxImages = 50

// nodeStatus fills in the status of n, which holds the last one.
func (k *Kubelet) nodeStatus(ctx context.Context, n *corev1.Node) {
	s := &n.Status
	if k.cfg.CloudProvider == "" || len(s.Addresses) == 0 {
		s.Addresses = k.addresses()
	}
	s.Capacity = k.capacity().DeepCopy()
	s.Allocatable = k.allocatable()
	s.DaemonEndpoints.KubeletEndpoint.Port = k.cfg.Port
	version := s.NodeInfo.ContainerRuntimeVersion
	s.NodeInfo = k.nodeInfo()
	s.NodeInfo.ContainerRuntimeVersion = version
	if k.lookRuntime(ctx) != nil { // else all that it said before stays
		k.relist(ctx, time.Now())
		ctx, cancel := context.WithTimeout(ctx, lookEvery)
		defer cancel()
		if v, err := k.rt.Version(ctx); err == nil {
			s.NodeInfo.ContainerRuntimeVersion = v.Name + "://" + strings.TrimPrefix(v.Version, "v")
		}
		if imgs, err := k.rt.Images(ctx); err == nil {
			s.Images = nodeImages(imgs)
		}
	}
	k.nodeConditions(s)
}

// nodeImages are the largest images, as a node's status names them.
func nodeImages(imgs []runtime.Image) []corev1.ContainerImage {
	slices.SortFunc(imgs, func(a, b runtime.Image) int { return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.ID, b.ID)) })
	var out []corev1.ContainerImage
	for _, img := range imgs[:min(len(imgs), maxImages)] {
		names := append(slices.Clone(img.Digests), img.Tags...)
		if len(names) > 5 {
			names = names[:5]
		}
		if len(names) > 0 {
			out = append(out, corev1.ContainerImage{Names: names, SizeBytes: img.Size})
		}
	}
	return out
}

func (k *Kubelet) addresses() []corev1.NodeAddress {
	var out []corev1.NodeAddress
	for _, ip := range k.ips() {
		out = append(out, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip})
	}
	if k.cfg.ExternalIP != nil {
		out = append(out, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: k.cfg.ExternalIP.String()})
	}
	return append(out, corev1.NodeAddress{Type: corev1.NodeHostName, Address: k.cfg.Hostname})
}

// nodeConditions sets the conditions in upstream's order, Ready last: old control planes read them so.
func (k *Kubelet) nodeConditions(s *corev1.NodeStatus) {
	now := metav1.NewTime(time.Now()).Rfc3339Copy()
	set := func(t corev1.NodeConditionType, ok bool, reason, message string) {
		c := corev1.NodeCondition{Type: t, Status: corev1.ConditionFalse, Reason: reason, Message: message, LastHeartbeatTime: now, LastTransitionTime: now}
		if ok {
			c.Status = corev1.ConditionTrue
		}
		i := slices.IndexFunc(s.Conditions, func(c corev1.NodeCondition) bool { return c.Type == t })
		if i < 0 {
			s.Conditions = append(s.Conditions, c)
			return
		}
		if s.Conditions[i].Status == c.Status {
			c.LastTransitionTime = s.Conditions[i].LastTransitionTime
		}
		s.Conditions[i] = c
	}
	if k.cfg.NetworkReady {
		set(corev1.NodeNetworkUnavailable, false, "RouteCreated", "Sampan's pod network serves this node")
	}
	p := k.pressure()
	either := func(on bool, t corev1.NodeConditionType, yes, yesText, no, noText string) {
		if on {
			set(t, true, yes, yesText)
		} else {
			set(t, false, no, noText)
		}
	}
	either(p.Memory, corev1.NodeMemoryPressure, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available", "KubeletHasSufficientMemory", "kubelet has sufficient memory available")
	either(p.Disk, corev1.NodeDiskPressure, "KubeletHasDiskPressure", "kubelet has disk pressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure")
	either(p.PID, corev1.NodePIDPressure, "KubeletHasInsufficientPID", "kubelet has insufficient PID available", "KubeletHasSufficientPID", "kubelet has sufficient PID available")
	if st, _ := k.health.status(); st != nil {
		s.RuntimeHandlers = st.Handlers
		groups := st.SupplementalGroupPolicy
		s.Features = &corev1.NodeFeatures{SupplementalGroupsPolicy: &groups}
	}
	var trouble []string
	for _, err := range k.health.errors(time.Now()) {
		trouble = append(trouble, err.Error())
	}
	if len(trouble) > 0 {
		text := trouble[0]
		if len(trouble) > 1 {
			text = "[" + strings.Join(trouble, ", ") + "]"
		}
		set(corev1.NodeReady, false, "KubeletNotReady", text)
		return
	}
	set(corev1.NodeReady, true, "KubeletReady", "kubelet is posting ready status")
}

func (k *Kubelet) pressure() evict.Pressure {
	if k.pressures == nil {
		return evict.Pressure{}
	}
	return k.pressures.Look(time.Now())
}

// tellRegistered records events for the conditions that this run has registered the node with, except Ready, which is told
// when it changes.
func (k *Kubelet) tellRegistered() {
	if k.registered == nil {
		return
	}
	k.tellConditions(nil, slices.DeleteFunc(slices.Clone(k.registered.Status.Conditions), func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady
	}))
	k.registered = nil
}

// tellConditions records events for conditions that changed.
func (k *Kubelet) tellConditions(old, now []corev1.NodeCondition) {
	names := map[corev1.NodeConditionType][2]string{
		corev1.NodeReady:          {"NodeReady", "NodeNotReady"},
		corev1.NodeMemoryPressure: {"NodeHasInsufficientMemory", "NodeHasSufficientMemory"},
		corev1.NodeDiskPressure:   {"NodeHasDiskPressure", "NodeHasNoDiskPressure"},
		corev1.NodePIDPressure:    {"NodeHasInsufficientPID", "NodeHasSufficientPID"},
	}
	for _, c := range now {
		i := slices.IndexFunc(old, func(o corev1.NodeCondition) bool { return o.Type == c.Type })
		name, ok := names[c.Type]
		if !ok || i >= 0 && old[i].Status == c.Status {
			continue
		}
		if c.Status == corev1.ConditionTrue {
			k.nodeEvent(name[0])
		} else {
			k.nodeEvent(name[1])
		}
	}
}

func (k *Kubelet) nodeInfo() corev1.NodeSystemInfo {
	k.infoOnce.Do(func() {
		i := &k.info
		i.OperatingSystem, i.Architecture, i.KubeletVersion = "linux", goArch, k.cfg.Version
		i.BootID = trimmed("/proc/sys/kernel/random/boot_id")
		i.KernelVersion = trimmed("/proc/sys/kernel/osrelease")
		i.OSImage = osImage()
		i.MachineID = cmp.Or(trimmed("/etc/machine-id"), trimmed("/var/lib/dbus/machine-id"))
		if k.cfg.MachineID != "" {
			i.MachineID, i.SystemUUID = k.cfg.MachineID, k.cfg.MachineID
			return
		}
		i.SystemUUID = cmp.Or(trimmed("/sys/class/dmi/id/product_uuid"), i.MachineID)
	})
	return k.info
}

func trimmed(path string) string {
	b, _ := os.ReadFile(path)
	return strings.TrimSpace(string(b))
}

func osImage() string {
	for _, line := range strings.Split(trimmed("/etc/os-release"), "\n") {
		if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return "Linux"
}

// findIPs are the addresses of the node: those configured, else the one the default route goes out by, else any.
func (k *Kubelet) findIPs() []string {
	if out := k.routedIPs(); len(out) > 0 {
		return out
	}
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
				return []string{n.IP.String()}
			}
		}
	}
	return []string{"127.0.0.1"}
}

// HostChanged makes the kubelet look again at the host's addresses. While there is no default route it keeps those it has: a
// link that is set up anew has none for a moment.
func (k *Kubelet) HostChanged() {
	select {
	case k.moved <- struct{}{}:
	default:
	}
}

// follow takes over addresses that have changed and tells whether any has.
func (k *Kubelet) follow() bool {
	now, was := k.routedIPs(), k.ips()
	if len(now) == 0 || slices.Equal(now, was) || len(was) > 0 && strings.Contains(now[0], ":") != strings.Contains(was[0], ":") {
		return false // a node does not change its family
	}
	k.cfg.Log.Info("the node has another address", "addresses", now, "were", was)
	k.hostIPs.Store(now)
	k.wakeAll() // pods say it too
	return true
}

// routedIPs are the addresses configured, else the one the default route goes out by.
func (k *Kubelet) routedIPs() []string {
	var out []string
	for _, ip := range k.cfg.NodeIPs {
		if ip != nil && !ip.IsUnspecified() {
			out = append(out, ip.String())
		}
	}
	if len(out) > 0 {
		return out
	}
	family := []string{"udp4", "udp6"}
	if len(k.cfg.NodeIPs) > 0 && k.cfg.NodeIPs[0].To4() == nil {
		slices.Reverse(family)
	}
	for _, network := range family {
		target := "192.0.2.1:9" // documentation addresses: connecting a datagram socket sends nothing
		if network == "udp6" {
			target = "[2001:db8::1]:9"
		}
		c, err := net.Dial(network, target)
		if err != nil {
			continue
		}
		ip := c.LocalAddr().(*net.UDPAddr).IP
		c.Close()
		if !ip.IsLoopback() {
			return []string{ip.String()}
		}
	}
	return nil
}

func joinIPs(ips []net.IP) string {
	var out []string
	for _, ip := range ips {
		out = append(out, ip.String())
	}
	return strings.Join(out, ",")
}

// currentNode is the node as last seen, or as it would be registered.
func (k *Kubelet) currentNode() *corev1.Node {
	if k.node != nil {
		if n, ok := k.node.Get("", k.cfg.NodeName); ok && len(n.Status.Allocatable) > 0 {
			return n
		}
	}
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.cfg.NodeName, Labels: map[string]string{corev1.LabelOSStable: "linux", corev1.LabelHostname: k.cfg.Hostname}}}
	for key, v := range k.cfg.Labels {
		n.Labels[key] = v
	}
	n.Status.Allocatable = k.allocatable()
	return n
}
