package devices

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"sampan.dev/internal/node/checkpoint"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// File is the name of the checkpoint.
const File = "kubelet_internal_checkpoint"

// nowhere is the NUMA node of devices that do not say where they are.
const nowhere = -1

// table is who has what, by pod and container.
type table map[types.UID]map[string]allocations

// allocations are what one container has, by resource.
type allocations map[string]allocation

// allocation is devices of one resource, and what the plugin said that they need.
type allocation struct {
	devices perNode
	needs   *pluginapi.ContainerAllocateResponse
}

// perNode are device IDs by NUMA node. A device at several nodes is with each.
type perNode map[int64][]string

func (p perNode) ids() set {
	out := set{}
	for _, ids := range p {
		maps.Copy(out, setOf(ids...))
	}
	return out
}

// nodes are those that a device is at.
func (p perNode) nodes(id string) (out []int64) {
	for _, n := range slices.Sorted(maps.Keys(p)) {
		if n != nowhere && slices.Contains(p[n], id) {
			out = append(out, n)
		}
	}
	return out
}

func (a allocations) names() []string { return sortedKeys(a) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// taken are the devices of a resource that containers have.
func (t table) taken(resource string) set {
	out := set{}
	for _, containers := range t {
		for _, has := range containers {
			maps.Copy(out, has[resource].devices.ids())
		}
	}
	return out
}

// names of all resources of which somebody has any.
func (t table) names() set {
	out := set{}
	for _, containers := range t {
		for _, has := range containers {
			maps.Copy(out, setOf(has.names()...))
		}
	}
	return out
}

// owner is the pod that has a device. IDs are one plugin's, so the resource counts too.
func (t table) owner(resource, id string) (types.UID, bool) {
	for pod, containers := range t {
		for _, has := range containers {
			if has[resource].devices.ids().has(id) {
				return pod, true
			}
		}
	}
	return "", false
}

// entry is one allocation as the checkpoint has it.
type entry struct {
	PodUID        string
	ContainerName string
	ResourceName  string
	DeviceIDs     perNode
	AllocResp     []byte // protobuf
}

type data struct {
	PodDeviceEntries  []entry
	RegisteredDevices map[string][]string // healthy devices by resource
}

type file struct {
	Data     data
	Checksum checkpoint.Checksum
}

func (d data) sum() checkpoint.Checksum {
	return checkpoint.Sum(d, "devices.data", "checkpoint.checkpointData", "devices.entry", "checkpoint.PodDevicesEntry",
		"devices.perNode", "checkpoint.DevicesPerNUMA")
}

// encode makes a checkpoint. Its entries are in order.
func encode(t table, registered map[string][]string) ([]byte, error) {
	d := data{RegisteredDevices: registered}
	for _, pod := range slices.Sorted(maps.Keys(t)) {
		for _, name := range sortedKeys(t[pod]) {
			for _, resource := range t[pod][name].names() {
				a := t[pod][name][resource]
				needs, err := proto.MarshalOptions{Deterministic: true}.Marshal(a.needs)
				if err != nil {
					return nil, err
				}
				d.PodDeviceEntries = append(d.PodDeviceEntries, entry{string(pod), name, resource, a.devices, needs})
			}
		}
	}
	return json.Marshal(file{d, d.sum()})
}

// decode reads one.
func decode(b []byte) (t table, registered map[string][]string, err error) {
	f := file{Data: data{PodDeviceEntries: []entry{}, RegisteredDevices: map[string][]string{}}}
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, nil, err
	}
	if f.Checksum != f.Data.sum() {
		return nil, nil, checkpoint.ErrCorrupt
	}
	t = table{}
	for _, e := range f.Data.PodDeviceEntries {
		needs := &pluginapi.ContainerAllocateResponse{}
		if err := proto.Unmarshal(e.AllocResp, needs); err != nil {
			return nil, nil, fmt.Errorf("pod %s, container %s: %w", e.PodUID, e.ContainerName, err)
		}
		t.put(types.UID(e.PodUID), e.ContainerName, e.ResourceName, allocation{e.DeviceIDs, needs})
	}
	return t, f.Data.RegisteredDevices, nil
}

func (t table) put(pod types.UID, container, resource string, a allocation) {
	if t[pod] == nil {
		t[pod] = map[string]allocations{}
	}
	if t[pod][container] == nil {
		t[pod][container] = allocations{}
	}
	t[pod][container][resource] = a
}

// restore takes over the checkpoint. Resources that it names have no devices until their plugins are back.
func (m *Manager) restore() error {
	b, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	t, registered, err := decode(b)
	if err != nil {
		return fmt.Errorf("%s: %w", m.path, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.given = t
	for name := range registered {
		m.mu.offers[name] = &offer{healthy: set{}, stopped: time.Now()}
	}
	return nil
}

// saveLocked writes the checkpoint. What cannot be written is said and the manager goes on: the containers have their devices.
func (m *Manager) saveLocked() {
	registered := map[string][]string{}
	for name, r := range m.mu.offers {
		registered[name] = r.healthy.list()
	}
	b, err := encode(m.mu.given, registered)
	if err == nil {
		err = checkpoint.Write(m.path, b)
	}
	if err != nil {
		m.cfg.Log.Error("checkpoint of devices not written", "error", err)
	}
}
