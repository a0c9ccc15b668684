package placement

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"sampan.dev/internal/node/cpus"
	"sampan.dev/internal/node/memorymap"
	"sampan.dev/internal/node/topology"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/cpuset"
)

// Settings are what the kubelet's configuration says of placement. The zero value is upstream's default: no policy.
type Settings struct {
	TopologyPolicy, TopologyScope string
	TopologyOptions               map[string]string

	CPUPolicy    string
	CPUOptions   map[string]string
	AlphaOptions bool   // options of the CPU policy that upstream keeps behind a gate
	ReservedCPUs string // list of those that are kept from pods; "" lets their number decide
	CPUEvery     time.Duration

	MemoryPolicy   string
	ReservedMemory memorymap.Reserved
}

// Exclusive says which of CPUs and memory the node gives out for pods' own use.
func (s *Settings) Exclusive() (ofCPUs, memory bool) {
	return s.static(), s.MemoryPolicy == memorymap.Static
}

// Check says in upstream's words what is wrong with the settings, as far as that can be known without the machine.
func (s *Settings) Check() error {
	oneOf := func(name, flag, value string, may ...string) error {
		if value == "" || slices.Contains(may, value) {
			return nil
		}
		return fmt.Errorf("invalid configuration: %s (--%s) %q must be one of: %q", name, flag, value, may)
	}
	if err := oneOf("topologyManagerPolicy", "topology-manager-policy", s.TopologyPolicy, topology.None, topology.BestEffort, topology.Restricted, topology.SingleNUMANode); err != nil {
		return err
	}
	if err := oneOf("topologyManagerScope", "topology-manager-scope", s.TopologyScope, topology.ContainerScope, topology.PodScope); err != nil {
		return err
	}
	if s.static() || s.CPUPolicy == "" || s.CPUPolicy == cpus.None {
		if _, err := cpus.ReadOptions(s.CPUOptions, s.AlphaOptions); s.static() && err != nil {
			return fmt.Errorf("new static policy error: %w", err)
		}
	} else {
		return fmt.Errorf("unknown policy: %q", s.CPUPolicy)
	}
	if len(s.CPUOptions) > 0 && !s.static() {
		return fmt.Errorf("new none policy error: None policy: received unsupported options=%v", s.CPUOptions)
	}
	if s.MemoryPolicy != "" && s.MemoryPolicy != memorymap.None && s.MemoryPolicy != memorymap.Static {
		return fmt.Errorf("unknown policy: %q", s.MemoryPolicy)
	}
	if _, err := topology.ReadOptions(s.TopologyOptions); err != nil {
		return err
	}
	if _, err := cpuset.Parse(s.ReservedCPUs); err != nil {
		return fmt.Errorf("invalid configuration: unable to parse reservedSystemCPUs (--reserved-cpus) %v, error: %w", s.ReservedCPUs, err)
	}
	return nil
}

func (s *Settings) static() bool { return s.CPUPolicy == cpus.Static }

// plain reports whether nothing is set that needs to know how the machine is built.
func (s *Settings) plain() bool {
	return !s.static() && s.MemoryPolicy != memorymap.Static && (s.TopologyPolicy == "" || s.TopologyPolicy == topology.None) && s.ReservedCPUs == ""
}

// Reserve changes what a node reserves for the system and the kubelet to the CPUs that are named: they are the system's, in place
// of any number.
func (s *Settings) Reserve(system, kube corev1.ResourceList) (corev1.ResourceList, corev1.ResourceList) {
	named, err := cpuset.Parse(s.ReservedCPUs)
	if err != nil || named.IsEmpty() {
		return system, kube
	}
	system, kube = maps.Clone(system), maps.Clone(kube)
	delete(kube, corev1.ResourceCPU)
	if system == nil {
		system = corev1.ResourceList{}
	}
	system[corev1.ResourceCPU] = *resource.NewQuantity(int64(named.Size()), resource.DecimalSI)
	return system, kube
}
