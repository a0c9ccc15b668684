package devices

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// Capacity is how many devices of each resource there are, and how many of them are healthy. gone are resources whose plugins have not
// come back in time: they are told once, to be set to zero.
func (m *Manager) Capacity(now time.Time) (capacity, allocatable corev1.ResourceList, gone []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.mu.offers) == 0 {
		return nil, nil, nil
	}
	capacity, allocatable = corev1.ResourceList{}, corev1.ResourceList{}
	for name, r := range m.mu.offers {
		if !r.stopped.IsZero() && now.Sub(r.stopped) > graceAfterStop {
			gone = append(gone, name)
			delete(m.mu.offers, name)
			continue
		}
		capacity[corev1.ResourceName(name)] = *resource.NewQuantity(int64(len(r.devices)), resource.DecimalSI)
		allocatable[corev1.ResourceName(name)] = *resource.NewQuantity(int64(len(r.healthy)), resource.DecimalSI)
	}
	if len(gone) > 0 {
		m.saveLocked()
	}
	return capacity, allocatable, gone
}

// Taken is how many devices of each resource are given out.
func (m *Manager) Taken() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]int{}
	for name := range m.mu.given.names() {
		out[name] = len(m.mu.given.taken(name))
	}
	return out
}

// Has reports whether a pod has any devices.
func (m *Manager) Has(pod types.UID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mu.given[pod]) > 0
}

// Status is the health of the devices that a container has, by resource in order.
func (m *Manager) Status(pod types.UID, container string) []corev1.ResourceStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	has := m.mu.given[pod][container]
	var out []corev1.ResourceStatus
	for _, name := range has.names() {
		s := corev1.ResourceStatus{Name: corev1.ResourceName(name), Resources: []corev1.ResourceHealth{}}
		for _, id := range has[name].devices.ids().list() {
			health := corev1.ResourceHealthStatusHealthy
			if r := m.mu.offers[name]; r != nil && r.devices[id] != nil && r.devices[id].Health != pluginapi.Healthy {
				health = corev1.ResourceHealthStatusUnhealthy
			}
			s.Resources = append(s.Resources, corev1.ResourceHealth{ResourceID: corev1.ResourceID(id), Health: health})
		}
		out = append(out, s)
	}
	return out
}

// Device is a device and the NUMA nodes that it is at; none when its plugin does not say.
type Device struct {
	Resource, ID string
	Nodes        []int64
}

// Devices are those that a container has.
func (m *Manager) Devices(pod types.UID, container string) []Device {
	m.mu.Lock()
	defer m.mu.Unlock()
	has := m.mu.given[pod][container]
	var out []Device
	for _, name := range has.names() {
		for _, id := range has[name].devices.ids().list() {
			out = append(out, Device{name, id, has[name].devices.nodes(id)})
		}
	}
	return out
}

// Allocatable are all healthy devices.
func (m *Manager) Allocatable() []Device {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Device
	for _, name := range sortedKeys(m.mu.offers) {
		for _, id := range m.mu.offers[name].healthy.list() {
			d := Device{Resource: name, ID: id}
			for _, n := range m.mu.offers[name].devices[id].GetTopology().GetNodes() {
				d.Nodes = append(d.Nodes, n.ID)
			}
			out = append(out, d)
		}
	}
	return out
}
