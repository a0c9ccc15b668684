package cpus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"sampan.dev/internal/node/checkpoint"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/cpuset"
)

// File is the name of the checkpoint in the kubelet's root directory.
const File = "cpu_manager_state"

// state is who has which CPUs.
type state struct {
	shared cpuset.CPUSet // on which everybody runs who has none of their own
	own    map[types.UID]map[string]cpuset.CPUSet
}

func (s *state) setOwn(pod types.UID, container string, cpus cpuset.CPUSet) {
	if s.own[pod] == nil {
		s.own[pod] = map[string]cpuset.CPUSet{}
	}
	s.own[pod][container] = cpus
}

// assignments is a state as checkpoints write it: sets as lists ("0-3,8") by pod and container.
type assignments struct {
	PolicyName    string                       `json:"policyName"`
	DefaultCPUSet string                       `json:"defaultCpuSet"`
	Entries       map[string]map[string]string `json:"entries,omitempty"`
}

// legacy is the checkpoint of kubelets before v1.37, which newer ones write too.
type legacy struct {
	PolicyName    string                       `json:"policyName"`
	DefaultCPUSet string                       `json:"defaultCpuSet"`
	Entries       map[string]map[string]string `json:"entries,omitempty"`
	Checksum      checkpoint.Checksum          `json:"checksum"`
}

// file is the checkpoint. Data is an assignments, and what counts.
type file struct {
	legacy       `json:",inline"`
	Data         string              `json:"data"`
	DataChecksum checkpoint.Checksum `json:"dataChecksum"`
}

// encode makes a checkpoint.
func encode(policy string, s *state) ([]byte, error) {
	a := assignments{policy, s.shared.String(), map[string]map[string]string{}}
	for pod, own := range s.own {
		a.Entries[string(pod)] = map[string]string{}
		for name, cpus := range own {
			a.Entries[string(pod)][name] = cpus.String()
		}
	}
	data, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	f := file{legacy{a.PolicyName, a.DefaultCPUSet, a.Entries, 0}, string(data), checkpoint.Sum(string(data))}
	f.Checksum = f.legacy.sum()
	return json.Marshal(f)
}

func (l legacy) sum() checkpoint.Checksum {
	l.Checksum = 0
	return checkpoint.Sum(&l, "cpus.legacy", "state.CPUManagerCheckpoint")
}

// decode reads a checkpoint of any kubelet since v1.10.
func decode(b []byte) (a assignments, err error) {
	f := file{legacy: legacy{Entries: map[string]map[string]string{}}} // the sum of none is that of an empty map
	if err := json.Unmarshal(b, &f); err != nil {
		return a, err
	}
	switch {
	case f.Data != "" || f.DataChecksum != 0:
		if f.DataChecksum != checkpoint.Sum(f.Data) {
			return a, fmt.Errorf("could not load v4 checkpoint: %w", checkpoint.ErrCorrupt)
		}
		return a, json.Unmarshal([]byte(f.Data), &a)
	case f.Checksum != 0 && f.Checksum != f.legacy.sum():
		return a, checkpoint.ErrCorrupt
	}
	return assignments{f.PolicyName, f.DefaultCPUSet, f.Entries}, nil
}

// state turns what a checkpoint says into sets.
func (a assignments) state() (s state, err error) {
	if s.shared, err = cpuset.Parse(a.DefaultCPUSet); err != nil {
		return s, fmt.Errorf("could not parse default CPU set %q: %w", a.DefaultCPUSet, err)
	}
	s.own = map[types.UID]map[string]cpuset.CPUSet{}
	for pod, own := range a.Entries {
		for name, text := range own {
			cpus, err := cpuset.Parse(text)
			if err != nil {
				return s, fmt.Errorf("could not parse cpuset %q for container %q in pod %q: %w", text, name, pod, err)
			}
			s.setOwn(types.UID(pod), name, cpus)
		}
	}
	return s, nil
}

// read returns what the checkpoint at path says, which must be of the given policy; nothing when there is none.
func read(path, policy string) (s state, err error) {
	s.own = map[types.UID]map[string]cpuset.CPUSet{}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	var a assignments
	if err == nil {
		a, err = decode(b)
	}
	if err == nil && a.PolicyName != policy {
		err = fmt.Errorf("configured policy %q differs from state checkpoint policy %q", policy, a.PolicyName)
	}
	if err == nil {
		s, err = a.state()
	}
	if err != nil {
		return s, fmt.Errorf("could not restore state from checkpoint: %w, please drain this node and delete the CPU manager checkpoint file %q before restarting Kubelet", err, path)
	}
	return s, nil
}

// Idle checks that a kubelet whose policy is none may start: that no checkpoint below dir says that containers have CPUs to themselves.
func Idle(dir string) error {
	_, err := read(dir+"/"+File, None)
	return err
}

// restore takes over the checkpoint, and checks that it fits the machine and the settings.
func (m *Manager) restore() error {
	s, err := read(m.path, Static)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.state = s
	all := m.m.cpus()
	if m.cfg.Options.StrictReserved {
		all = all.Difference(m.reserved)
	}
	if s.shared.IsEmpty() && len(s.own) == 0 {
		m.mu.shared = all
		m.saveLocked()
		return nil
	}
	return m.check(s, all)
}

func (m *Manager) check(s state, all cpuset.CPUSet) error {
	kept := m.reserved.Intersection(s.shared)
	switch {
	case s.shared.IsEmpty():
		return errors.New("default cpuset cannot be empty")
	case m.cfg.Options.StrictReserved && !kept.IsEmpty():
		return fmt.Errorf("some of strictly reserved cpus: %q are present in defaultCpuSet: %q", kept, s.shared)
	case !m.cfg.Options.StrictReserved && !kept.Equals(m.reserved):
		return fmt.Errorf("not all reserved cpus: %q are present in defaultCpuSet: %q", m.reserved, s.shared)
	}
	known := s.shared
	for pod, own := range s.own {
		for name, cpus := range own {
			if !s.shared.Intersection(cpus).IsEmpty() {
				return fmt.Errorf("pod: %s, container: %s cpuset: %q overlaps with default cpuset %q", pod, name, cpus, s.shared)
			}
			known = known.Union(cpus)
		}
	}
	if !known.Equals(all) {
		return fmt.Errorf("current set of available CPUs %q doesn't match with CPUs in state %q", all, known)
	}
	return nil
}

// saveLocked writes the checkpoint. What cannot be written is said and the manager goes on: the containers have their CPUs.
func (m *Manager) saveLocked() {
	b, err := encode(Static, &m.mu.state)
	if err == nil {
		err = checkpoint.Write(m.path, b)
	}
	if err != nil {
		m.cfg.Log.Error("checkpoint of CPUs not written", "error", err)
	}
}
