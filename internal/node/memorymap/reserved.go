package memorymap

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// supported reports whether memory of a kind can be reserved on a NUMA node.
func supported(kind corev1.ResourceName) bool {
	return kind == corev1.ResourceMemory || strings.HasPrefix(string(kind), corev1.ResourceHugePagesPrefix)
}

// ParseReserved reads --reserved-memory: "0:memory=1Gi,hugepages-1Gi=1Gi;1:memory=2Gi". into may hold what earlier ones said.
func ParseReserved(s string, into Reserved) error {
	for _, item := range strings.Split(s, ";") {
		node, limits, ok := strings.Cut(item, ":")
		if !ok || strings.Contains(limits, ":") {
			return fmt.Errorf("the reserved memory has incorrect format, expected numaNodeID:type=quantity[,type=quantity...], got %s", item)
		}
		id, err := strconv.Atoi(node)
		if err != nil {
			return fmt.Errorf("failed to convert the NUMA node ID, expected integer, got %s", node)
		}
		list := corev1.ResourceList{}
		for _, limit := range strings.Split(limits, ",") {
			kind, amount, ok := strings.Cut(limit, "=")
			if !ok || strings.Contains(amount, "=") {
				return fmt.Errorf("the reserved limit has incorrect value, expected type=quantity, got %s", limit)
			}
			if !supported(corev1.ResourceName(kind)) {
				return fmt.Errorf("memory type conversion error, unknown type: %q", kind)
			}
			q, err := resource.ParseQuantity(amount)
			if err != nil {
				return fmt.Errorf("failed to parse the quantity: %s", amount)
			}
			list[corev1.ResourceName(kind)] = q
		}
		if err := into.Add(id, list); err != nil {
			return err
		}
	}
	return nil
}

// Add reserves memory on a node. No kind is reserved twice on one.
func (r Reserved) Add(node int, list corev1.ResourceList) error {
	if r[node] == nil {
		r[node] = corev1.ResourceList{}
	}
	for _, kind := range slices.Sorted(maps.Keys(list)) {
		q := list[kind]
		_, twice := r[node][kind]
		switch {
		case !supported(kind):
			return fmt.Errorf("invalid configuration: the limit type %q for NUMA node %d is not supported, only [memory hugepages-<HugePageSize>] is accepted", kind, node)
		case q.IsZero():
			return fmt.Errorf("invalid configuration: reserved memory may not be zero for NUMA node %d and resource %q", node, kind)
		case twice:
			return fmt.Errorf("invalid configuration: the reserved memory has a duplicate value for NUMA node %d and resource %q", node, kind)
		}
		r[node][kind] = q
	}
	return nil
}

// String is what ParseReserved reads.
func (r Reserved) String() string {
	var nodes []string
	for _, id := range slices.Sorted(maps.Keys(r)) {
		var limits []string
		for _, kind := range slices.Sorted(maps.Keys(r[id])) {
			q := r[id][kind]
			limits = append(limits, string(kind)+"="+q.String())
		}
		nodes = append(nodes, strconv.Itoa(id)+":"+strings.Join(limits, ","))
	}
	return strings.Join(nodes, ";")
}

// check compares what is reserved on the nodes with the machine and with what the whole node reserves.
func (c *Config) check() error {
	sum := corev1.ResourceList{}
	for _, id := range slices.Sorted(maps.Keys(c.Reserved)) {
		known := false
		for _, n := range c.Machine.Nodes {
			known = known || n.ID == id
		}
		if !known {
			return fmt.Errorf("the reserved memory configuration references a NUMA node %d that does not exist on this machine", id)
		}
		for kind, q := range c.Reserved[id] {
			total := sum[kind]
			total.Add(q)
			sum[kind] = total
		}
	}
	kinds := map[corev1.ResourceName]bool{}
	for _, list := range []corev1.ResourceList{sum, c.ReservedSum} {
		for kind := range list {
			kinds[kind] = supported(kind)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		got, want := sum[kind], c.ReservedSum[kind]
		if kinds[kind] && got.Cmp(want) != 0 {
			return fmt.Errorf("the total amount %q of type %q is not equal to the value %q determined by Node Allocatable feature", got.String(), kind, want.String())
		}
	}
	if m := sum[corev1.ResourceMemory]; m.Sign() <= 0 {
		return errNothingReserved
	}
	return nil
}
