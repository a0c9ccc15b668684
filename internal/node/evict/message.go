package evict

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// Reason is that of an evicted pod, and of the event that tells of it.
const Reason = "Evicted"

// message says why a pod is evicted, in upstream's words.
func message(p *Pod, t Threshold, met []Threshold, seen Observed) string {
	name := resourceOf[t.Signal]
	var b strings.Builder
	fmt.Fprintf(&b, "The node was low on resource: %v. ", name)
	for _, m := range met {
		if s, ok := seen[m.Signal]; ok && resourceOf[m.Signal] == name {
			fmt.Fprintf(&b, "Threshold quantity: %v, available: %v. ", quantity(name, m.Value.of(s.Capacity)), quantity(name, s.Available))
			break
		}
	}
	if !p.Usage.Known {
		return b.String()
	}
	if r := p.Spec.Resources; name == corev1.ResourceMemory && resourcehelper.IsPodLevelResourcesSet(p.Pod) {
		if asks, ok := r.Requests[name]; ok {
			fmt.Fprintf(&b, "Pod %s was using %s, request is %s, has larger consumption of %v. ", p.Name, quantity(name, p.Usage.Memory), asks.String(), name)
		}
	}
	requests := map[string]resource.Quantity{}
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range list {
			requests[list[i].Name] = list[i].Resources.Requests[name]
		}
	}
	for _, c := range p.Usage.Containers {
		asks, known := requests[c.Name]
		used := int64(-1)
		switch name {
		case corev1.ResourceMemory:
			used = c.Memory
		case corev1.ResourceEphemeralStorage:
			used = c.Rootfs.Bytes + c.Logs.Bytes
		}
		if known && used > asks.Value() {
			fmt.Fprintf(&b, "Container %s was using %s, request is %s, has larger consumption of %v. ", c.Name, quantity(name, used), asks.String(), name)
		}
	}
	return b.String()
}

func quantity(name corev1.ResourceName, n int64) string {
	format := resource.BinarySI
	if name == inodes || name == processes {
		format = resource.DecimalSI
	}
	return resource.NewQuantity(n, format).String()
}

// Refuses says why a node under pressure does not take a pod, "" when it does. Critical pods it always takes; when it is short of nothing
// but memory, also those that ask for some, and those that tolerate that.
func (p Pressure) Refuses(critical, bestEffort bool, tolerates func(key string) bool) string {
	var told []string
	for _, c := range []struct {
		on   bool
		name corev1.NodeConditionType
	}{{p.Memory, corev1.NodeMemoryPressure}, {p.Disk, corev1.NodeDiskPressure}, {p.PID, corev1.NodePIDPressure}} {
		if c.on {
			told = append(told, string(c.name))
		}
	}
	if told == nil || critical || p == (Pressure{Memory: true}) && (!bestEffort || tolerates(corev1.TaintNodeMemoryPressure)) {
		return ""
	}
	return fmt.Sprintf("The node had condition: %v. ", told)
}
