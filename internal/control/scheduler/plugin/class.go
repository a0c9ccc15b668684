package plugin

import (
	"encoding/binary"
	"maps"
	"slices"
)

// classOf writes down all that the plugins look at of a pod. Pods of which this is the same are scheduled alike, so what is
// found out about a node for one of them holds for all. Every string carries its length, so that no two sets of values read
// alike.
//
// A plugin that looks at something new of a pod adds it here. One that depends on more than the pod and the one node makes
// classOf return "" for the pods it is about: they are looked at one by one.
func classOf(p *Pod) string {
	b := make([]byte, 0, 256)
	b = appendResources(b, &p.Requests)
	b = appendResources(b, &p.Assumed)
	b = binary.AppendUvarint(b, uint64(len(p.Ports)))
	for _, port := range p.Ports {
		b = appendString(b, port.IP)
		b = appendString(b, string(port.Protocol))
		b = binary.AppendVarint(b, int64(port.Port))
	}
	b = binary.AppendUvarint(b, uint64(len(p.images)))
	for _, image := range p.images {
		b = appendString(b, image)
	}
	b = appendString(b, p.Spec.NodeName)
	b = binary.AppendUvarint(b, uint64(len(p.Spec.Tolerations)))
	for i := range p.Spec.Tolerations {
		t := &p.Spec.Tolerations[i]
		b = appendString(b, t.Key)
		b = appendString(b, string(t.Operator))
		b = appendString(b, t.Value)
		b = appendString(b, string(t.Effect))
	}
	b = binary.AppendUvarint(b, uint64(len(p.Spec.NodeSelector)))
	for _, k := range slices.Sorted(maps.Keys(p.Spec.NodeSelector)) {
		b = appendString(b, k)
		b = appendString(b, p.Spec.NodeSelector[k])
	}
	if a := nodeAffinity(p.Pod); a != nil {
		terms, err := a.Marshal()
		if err != nil {
			return "" // cannot happen to what was stored; one by one is right at least
		}
		b = append(b, terms...)
	}
	return string(b)
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendResources(b []byte, r *Resources) []byte {
	b = binary.AppendVarint(b, r.MilliCPU)
	b = binary.AppendVarint(b, r.Memory)
	b = binary.AppendVarint(b, r.Ephemeral)
	b = binary.AppendUvarint(b, uint64(len(r.Scalar)))
	if len(r.Scalar) == 0 {
		return b
	}
	for _, name := range slices.Sorted(maps.Keys(r.Scalar)) {
		b = appendString(b, string(name))
		b = binary.AppendVarint(b, r.Scalar[name])
	}
	return b
}
