package plugin

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Signer writes the signature of one pod after the other. Each plugin of a profile signs, in its Sign, everything that it
// reads of a pod; the signature is the fragments of all of them. Pods with one signature are scheduled alike, so what is found
// out about a node for one of them holds for all (upstream's opportunistic batching).
//
// A fragment that several plugins sign is written once. Each begins with its number and carries its own length, so that no two
// different sets of values read alike.
type Signer struct {
	pod      *Pod
	b        []byte
	written  fragment
	unsigned bool
}

type fragment uint16

const (
	fragmentRequests fragment = 1 << iota
	fragmentAssumed
	fragmentPorts
	fragmentImages
	fragmentNodeName
	fragmentTolerations
	fragmentNodeSelector
	fragmentNodeAffinity
	fragmentOwn
)

// Sign returns the pod's signature under these plugins, "" when one of them does not sign pods of its sort.
func (s *Signer) Sign(pod *Pod, by []Signed) string {
	*s = Signer{pod: pod, b: s.b[:0]}
	for _, p := range by {
		if p.Sign(s); s.unsigned {
			return ""
		}
	}
	return string(s.b)
}

// Pod is the pod that is being signed.
func (s *Signer) Pod() *Pod { return s.pod }

// Refuse says that the plugin does not sign this pod: it is scheduled as one that is like no other, looking at nodes one by
// one. That is always right, and slow.
func (s *Signer) Refuse() { s.unsigned = true }

// begin opens a fragment; false if it has been written.
func (s *Signer) begin(f fragment) bool {
	if s.written&f != 0 {
		return false
	}
	s.written |= f
	s.b = binary.AppendUvarint(s.b, uint64(f))
	return true
}

// Requests signs what the pod asks for.
func (s *Signer) Requests() {
	if s.begin(fragmentRequests) {
		s.resources(&s.pod.Requests)
	}
}

// Assumed signs what the pod is taken to ask for in scores.
func (s *Signer) Assumed() {
	if s.begin(fragmentAssumed) {
		s.resources(&s.pod.Assumed)
	}
}

// Ports signs the pod's host ports.
func (s *Signer) Ports() {
	if !s.begin(fragmentPorts) {
		return
	}
	s.number(len(s.pod.Ports))
	for _, port := range s.pod.Ports {
		s.text(port.IP)
		s.text(string(port.Protocol))
		s.b = binary.AppendVarint(s.b, int64(port.Port))
	}
}

// Images signs the normalized names of the images.
func (s *Signer) Images() {
	if !s.begin(fragmentImages) {
		return
	}
	s.number(len(s.pod.images))
	for _, image := range s.pod.images {
		s.text(image)
	}
}

// NodeName signs spec.nodeName.
func (s *Signer) NodeName() {
	if s.begin(fragmentNodeName) {
		s.text(s.pod.Spec.NodeName)
	}
}

// Tolerations signs spec.tolerations.
func (s *Signer) Tolerations() {
	if !s.begin(fragmentTolerations) {
		return
	}
	s.number(len(s.pod.Spec.Tolerations))
	for i := range s.pod.Spec.Tolerations {
		t := &s.pod.Spec.Tolerations[i]
		s.text(t.Key)
		s.text(string(t.Operator))
		s.text(t.Value)
		s.text(string(t.Effect))
	}
}

// NodeSelector signs spec.nodeSelector.
func (s *Signer) NodeSelector() {
	if s.begin(fragmentNodeSelector) {
		s.labels(s.pod.Spec.NodeSelector)
	}
}

// NodeAffinity signs spec.affinity.nodeAffinity.
func (s *Signer) NodeAffinity() {
	a := nodeAffinity(s.pod.Pod)
	if a == nil || !s.begin(fragmentNodeAffinity) {
		return
	}
	terms, err := a.Marshal()
	if err != nil {
		s.Refuse() // cannot happen to what was stored; one by one is right at least
	}
	s.number(len(terms))
	s.b = append(s.b, terms...)
}

// Own signs values that one plugin alone reads; by is the plugin's name.
func (s *Signer) Own(by string, values ...string) {
	s.b = binary.AppendUvarint(s.b, uint64(fragmentOwn))
	s.text(by)
	s.number(len(values))
	for _, v := range values {
		s.text(v)
	}
}

func (s *Signer) number(n int) { s.b = binary.AppendUvarint(s.b, uint64(n)) }

func (s *Signer) text(t string) {
	s.number(len(t))
	s.b = append(s.b, t...)
}

func (s *Signer) labels(m map[string]string) {
	s.number(len(m))
	if len(m) == 0 {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		s.text(k)
		s.text(m[k])
	}
}

func (s *Signer) resources(r *Resources) {
	s.b = binary.AppendVarint(s.b, r.MilliCPU)
	s.b = binary.AppendVarint(s.b, r.Memory)
	s.b = binary.AppendVarint(s.b, r.Ephemeral)
	s.number(len(r.Scalar))
	if len(r.Scalar) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(r.Scalar)) {
		s.text(string(name))
		s.b = binary.AppendVarint(s.b, r.Scalar[name])
	}
}

// PlacesKey is the same for two pods that select the same nodes and tolerate the same taints by the same words.
func PlacesKey(pod *Pod) string {
	if !pod.selective && len(pod.Spec.Tolerations) == 0 {
		return ""
	}
	s := Signer{pod: pod}
	s.NodeSelector()
	s.NodeAffinity()
	s.Tolerations()
	return string(s.b)
}
