package memorymap

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"sampan.dev/internal/node/checkpoint"

	"k8s.io/apimachinery/pkg/types"
)

// File is the name of the checkpoint in the kubelet's root directory.
const File = "memory_manager_state"

// entries are blocks by pod and container.
type entries map[string]map[string][]Block

// assignments is what the checkpoint says.
type assignments struct {
	PolicyName   string   `json:"policyName"`
	MachineState accounts `json:"machineState"`
	Entries      entries  `json:"entries,omitempty"`
}

// legacy is the checkpoint of kubelets before v1.37, which newer ones write too.
type legacy struct {
	PolicyName   string              `json:"policyName"`
	MachineState accounts            `json:"machineState"`
	Entries      entries             `json:"entries,omitempty"`
	Checksum     checkpoint.Checksum `json:"checksum"`
}

// file is the checkpoint. Data is an assignments, and what counts.
type file struct {
	legacy       `json:",inline"`
	Data         string              `json:"data"`
	DataChecksum checkpoint.Checksum `json:"dataChecksum"`
}

func encode(a assignments) ([]byte, error) {
	data, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	f := file{legacy{a.PolicyName, a.MachineState, a.Entries, 0}, string(data), checkpoint.Sum(string(data))}
	f.Checksum = f.legacy.sum()
	return json.Marshal(f)
}

func (l legacy) sum() checkpoint.Checksum {
	l.Checksum = 0
	return checkpoint.Sum(&l, "memorymap.legacy", "state.MemoryManagerCheckpoint", "memorymap.accounts", "state.NUMANodeMap",
		"memorymap.nodeState", "state.NUMANodeState", "memorymap.table", "state.MemoryTable", "memorymap.entries", "state.ContainerMemoryAssignments",
		"memorymap.Block", "state.Block", "Total:", "TotalMemSize:")
}

// decode reads a checkpoint of any kubelet since v1.21.
func decode(b []byte) (a assignments, err error) {
	f := file{legacy: legacy{MachineState: accounts{}, Entries: entries{}}} // the sum of none is that of an empty map
	if err := json.Unmarshal(b, &f); err != nil {
		return a, err
	}
	switch {
	case f.Data != "" || f.DataChecksum != 0:
		if f.DataChecksum != checkpoint.Sum(f.Data) {
			return a, fmt.Errorf("could not load v3 checkpoint: %w", checkpoint.ErrCorrupt)
		}
		return a, json.Unmarshal([]byte(f.Data), &a)
	case f.Checksum != 0 && f.Checksum != f.legacy.sum():
		return a, checkpoint.ErrCorrupt
	}
	return assignments{f.PolicyName, f.MachineState, f.Entries}, nil
}

// read returns what the checkpoint at path says, which must be of the given policy; false when there is none.
func read(path, policy string) (a assignments, found bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return a, false, nil
	}
	if err == nil {
		a, err = decode(b)
	}
	if err == nil && a.PolicyName != policy {
		err = fmt.Errorf("[memorymanager] configured policy %q differs from state checkpoint policy %q", policy, a.PolicyName)
	}
	if err != nil {
		return a, true, fmt.Errorf("could not restore state from checkpoint: %w, please drain this node and delete the memory manager checkpoint file %q before restarting Kubelet", err, path)
	}
	return a, true, nil
}

// Idle checks that a kubelet whose policy is None may start: that no checkpoint below dir says that containers have memory of their own.
func Idle(dir string) error {
	_, _, err := read(dir+"/"+File, None)
	return err
}

// restore takes over the checkpoint, and checks that it fits the machine and the settings.
func (m *Manager) restore() error {
	a, found, err := read(m.path, Static)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.nodes, m.mu.given = fresh(m.cfg.Machine, m.cfg.Reserved), map[types.UID]map[string][]Block{}
	if !found || len(a.MachineState) == 0 {
		if len(a.Entries) > 0 {
			return errors.New("[memorymanager] machine state can not be empty when it has memory assignments")
		}
		m.saveLocked()
		return nil
	}
	expected := fresh(m.cfg.Machine, m.cfg.Reserved)
	for pod, containers := range a.Entries {
		for name, blocks := range containers {
			for _, b := range blocks {
				if err := expected.fits(b); err != nil {
					return fmt.Errorf("[memorymanager] (pod: %s, container: %s) %w", pod, name, err)
				}
				expected.give(b, b.Size)
			}
		}
		m.mu.given[types.UID(pod)] = containers
	}
	if !expected.equal(a.MachineState) {
		return errors.New("[memorymanager] the expected machine state is different from the real one")
	}
	m.mu.nodes = a.MachineState
	return nil
}

// fits checks that a block of a checkpoint is of memory that the machine has.
func (a accounts) fits(b Block) error {
	for _, id := range b.NUMAAffinity {
		n := a[id]
		if n == nil {
			return errors.New("the memory assignment uses the NUMA that does not exist")
		}
		if n.MemoryMap[b.Type] == nil {
			return errors.New("the memory assignment uses memory resource that does not exist")
		}
	}
	return nil
}

// saveLocked writes the checkpoint. What cannot be written is said and the manager goes on: the containers have their memory.
func (m *Manager) saveLocked() {
	a := assignments{Static, m.mu.nodes, entries{}}
	for pod, containers := range m.mu.given {
		a.Entries[string(pod)] = containers
	}
	b, err := encode(a)
	if err == nil {
		err = checkpoint.Write(m.path, b)
	}
	if err != nil {
		m.cfg.Log.Error("checkpoint of memory not written", "error", err)
	}
}
