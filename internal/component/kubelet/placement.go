package kubelet

import (
	"encoding/json"
	"fmt"
	"strconv"

	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/node/memorymap"
	"sampan.dev/internal/node/placement"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
)

// placement are the settings of the CPU, memory and topology managers.
func (c *Config) placement() flag.Table {
	p := &c.Placement
	return flag.Table{
		flag.Set("cpu-manager-policy", flag.String(&p.CPUPolicy), "none, or static: containers of Guaranteed pods that ask for whole CPUs have them to themselves").At("cpuManagerPolicy"),
		flag.Set("cpu-manager-policy-options", flag.Map(&p.CPUOptions), "options of the static policy: full-pcpus-only=true,…").At("cpuManagerPolicyOptions"),
		flag.Set("cpu-manager-reconcile-period", flag.Duration(&p.CPUEvery), "how often it is looked at whether containers are on their CPUs; they are moved at once when these change").At("cpuManagerReconcilePeriod"),
		flag.Set("memory-manager-policy", flag.String(&p.MemoryPolicy), "None, or Static: containers of Guaranteed pods have memory of NUMA nodes that is promised to them").At("memoryManagerPolicy"),
		flag.Set("topology-manager-policy", flag.String(&p.TopologyPolicy), "none, best-effort, restricted or single-numa-node: how close together a container's CPUs, memory and devices must be").At("topologyManagerPolicy"),
		flag.Set("topology-manager-policy-options", flag.Map(&p.TopologyOptions), "prefer-closest-numa-nodes=true, max-allowable-numa-nodes=N").At("topologyManagerPolicyOptions"),
		flag.Set("topology-manager-scope", flag.String(&p.TopologyScope), "container or pod: what must be close together").At("topologyManagerScope"),
		flag.Set("reserved-cpus", flag.String(&p.ReservedCPUs), "CPUs (list) that are kept for the system, in place of an amount").At("reservedSystemCPUs"),
		flag.Set("reserved-memory", reservedMemory{&p.ReservedMemory}, "memory of NUMA nodes that is kept for the system: 0:memory=1Gi,hugepages-1Gi=2Gi; in sum what the node reserves").At("reservedMemory"),
	}
}

// onNode are the settings that the programs of a node share. Of the feature gates those of the CPU manager's options count.
func (c *Config) onNode() flag.Table {
	table := component.OnNode()
	for i, row := range table {
		if row.Name == "feature-gates" {
			table[i] = flag.Set("feature-gates", gates{flag.Map(&c.Features)}, "features are those of a v1.37.1 with its defaults, as far as they are built; CPUManagerPolicyAlphaOptions=true allows more options").At("featureGates")
		}
	}
	return table
}

// placed is what the settings say of placement. It refuses what upstream would.
func (c *Config) placed() (placement.Settings, error) {
	out := c.Placement
	for gate, text := range c.Features {
		on, err := strconv.ParseBool(text)
		if err != nil {
			return out, fmt.Errorf("invalid value of %s=%s, err: %w", gate, text, err)
		}
		out.AlphaOptions = out.AlphaOptions || on && (gate == "CPUManagerPolicyAlphaOptions" || gate == "AllAlpha")
	}
	return out, out.Check()
}

// gates are name=bool pairs.
type gates struct{ pflag.Value }

func (gates) Type() string { return "mapStringBool" }

// reservedMemory is the value of --reserved-memory, which may be given more than once; the file has it as a list of objects.
type reservedMemory struct{ to *memorymap.Reserved }

func (r reservedMemory) Type() string { return "memory" }

func (r reservedMemory) String() string {
	if r.to == nil {
		return ""
	}
	return r.to.String()
}

func (r reservedMemory) Set(s string) error {
	if *r.to == nil {
		*r.to = memorymap.Reserved{}
	}
	if s == "" {
		return nil
	}
	return memorymap.ParseReserved(s, *r.to)
}

func (r reservedMemory) SetJSON(data []byte) error {
	var list []struct {
		NumaNode int                 `json:"numaNode"`
		Limits   corev1.ResourceList `json:"limits"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*r.to = memorymap.Reserved{}
	for _, item := range list {
		if err := r.to.Add(item.NumaNode, item.Limits); err != nil {
			return err
		}
	}
	return nil
}
