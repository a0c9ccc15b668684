package devices

import (
	"context"
	"fmt"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Needs is what a container is to be made with for its devices.
type Needs struct {
	Envs        []*cri.KeyValue
	Mounts      []*cri.Mount
	Devices     []*cri.Device
	CDI         []*cri.CDIDevice
	Annotations map[string]string
}

// Prepare tells the plugins that want to know that a container is about to be made, and returns what they said it needs; nil when
// it has no devices. A container that should have devices and has none, after the node was rebooted perhaps, is given some.
func (m *Manager) Prepare(ctx context.Context, pod *corev1.Pod, c *corev1.Container) (*Needs, error) {
	missing := false
	for _, name := range m.wanted(c) {
		if limits(c)[name] == 0 {
			continue
		}
		m.mu.Lock()
		p, ok := m.mu.offers[name].asked()
		a, given := m.mu.given[pod.UID][c.Name][name]
		m.mu.Unlock()
		switch {
		case !given:
			missing = true
		case ok && p.options.GetPreStartRequired():
			if err := p.started(ctx, a.devices.ids().list()); err != nil {
				return nil, err
			}
		}
	}
	if missing {
		if err := m.Allocate(ctx, pod, c); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	has := m.mu.given[pod.UID][c.Name]
	if len(has) == 0 {
		return nil, nil
	}
	return m.gather(has), nil
}

// gather puts together what the resources of a container need. Of two that say different things of one name the first counts.
func (m *Manager) gather(has allocations) *Needs {
	out := &Needs{Annotations: map[string]string{}}
	said := seen{m.cfg.Log, map[string]string{}}
	for _, name := range has.names() {
		needs := has[name].needs
		for _, key := range sortedKeys(needs.GetEnvs()) {
			if said.first("variable", key, needs.Envs[key]) {
				out.Envs = append(out.Envs, &cri.KeyValue{Key: key, Value: []byte(needs.Envs[key])})
			}
		}
		for _, d := range needs.GetDevices() {
			if said.first("device", d.ContainerPath, d.HostPath) {
				out.Devices = append(out.Devices, &cri.Device{ContainerPath: d.ContainerPath, HostPath: d.HostPath, Permissions: d.Permissions})
			}
		}
		for _, d := range needs.GetMounts() {
			if said.first("mount", d.ContainerPath, d.HostPath) {
				out.Mounts = append(out.Mounts, &cri.Mount{ContainerPath: d.ContainerPath, HostPath: d.HostPath, Readonly: d.ReadOnly})
			}
		}
		for _, key := range sortedKeys(needs.GetAnnotations()) {
			if said.first("annotation", key, needs.Annotations[key]) {
				out.Annotations[key] = needs.Annotations[key]
			}
		}
		for _, d := range needs.GetCdiDevices() {
			if said.first("CDI device", d.Name, "") {
				out.CDI = append(out.CDI, &cri.CDIDevice{Name: d.Name})
			}
		}
	}
	return out
}

// seen is what was said of each name.
type seen struct {
	log   *slog.Logger
	value map[string]string
}

func (s seen) first(kind, key, value string) bool {
	name := fmt.Sprint(kind, " ", key)
	was, twice := s.value[name]
	if twice && was != value {
		s.log.Error("device plugins want different things of a container", "name", name, "used", was, "other", value)
	}
	s.value[name] = value
	if twice {
		s.value[name] = was
	}
	return !twice
}
