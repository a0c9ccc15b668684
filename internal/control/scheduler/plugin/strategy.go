package plugin

import (
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Strategy is how NodeResourcesFit scores, and what it leaves to others: upstream's NodeResourcesFitArgs. The zero value is
// upstream's default: LeastAllocated, CPU and memory alike, nothing ignored.
type Strategy struct {
	Kind      string // "" and "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"
	Resources []Weight
	Shape     []Point // of RequestedToCapacityRatio, by rising use
	// Extended resources that it does not ask of nodes, by name and by the group before the slash.
	IgnoredResources, IgnoredGroups []string
}

// Weight is a resource and how much it counts.
type Weight struct {
	Name   corev1.ResourceName
	Weight int64
}

// Point of a broken line: the score 0…10 of a node of whose resource so many hundredths are in use.
type Point struct{ Use, Score int64 }

// Names of strategies.
const (
	LeastAllocated           = "LeastAllocated"
	MostAllocated            = "MostAllocated"
	RequestedToCapacityRatio = "RequestedToCapacityRatio"
)

// plain reports whether scores are upstream's default.
func (s *Strategy) plain() bool {
	return s == nil || len(s.Resources) == 0 && (s.Kind == "" || s.Kind == LeastAllocated)
}

// ignores reports whether a scalar resource is none of the plugin's business. Native ones always are its business.
func (s *Strategy) ignores(name corev1.ResourceName) bool {
	if s == nil || len(s.IgnoredResources)+len(s.IgnoredGroups) == 0 {
		return false
	}
	group, _, extended := strings.Cut(string(name), "/")
	if !extended || strings.HasPrefix(string(name), "kubernetes.io/") || strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix) {
		return false
	}
	for _, n := range s.IgnoredResources {
		if n == string(name) {
			return true
		}
	}
	for _, g := range s.IgnoredGroups {
		if g == group {
			return true
		}
	}
	return false
}

// score rates a node with the pod on it (upstream's resourceAllocationScorer).
func (s *Strategy) score(pod *Pod, node *Node) int64 {
	resources := s.Resources
	if len(resources) == 0 {
		resources = cpuAndMemory
	}
	var sum, weights int64
	for _, r := range resources {
		want, used, have := shares(r.Name, &pod.Assumed, &node.Assumed, pod, node)
		if have == 0 || want == 0 && scalar(r.Name) {
			continue
		}
		one := s.one(used+want, have)
		if s.Kind == RequestedToCapacityRatio && one <= 0 {
			continue
		}
		sum += one * r.Weight
		weights += r.Weight
	}
	if weights == 0 {
		return 0
	}
	if s.Kind == RequestedToCapacityRatio {
		return int64(math.Round(float64(sum) / float64(weights)))
	}
	return sum / weights
}

var cpuAndMemory = []Weight{{corev1.ResourceCPU, 1}, {corev1.ResourceMemory, 1}}

// one rates one resource, of which there is something.
func (s *Strategy) one(used, have int64) int64 {
	switch s.Kind {
	case MostAllocated:
		return min(used, have) * MaxScore / have
	case RequestedToCapacityRatio:
		if used > have {
			return s.line(100)
		}
		return s.line(used * 100 / have)
	}
	if used > have {
		return 0
	}
	return (have - used) * MaxScore / have
}

// line is the score of so many hundredths in use; Shape must have a point.
func (s *Strategy) line(use int64) int64 {
	const scale = MaxScore / 10
	for i, p := range s.Shape {
		if use > p.Use {
			continue
		}
		if i == 0 {
			return p.Score * scale
		}
		o := s.Shape[i-1]
		return o.Score*scale + (p.Score-o.Score)*scale*(use-o.Use)/(p.Use-o.Use)
	}
	return s.Shape[len(s.Shape)-1].Score * scale
}

// shares is what the pod asks of a resource, what is in use and what there is; of CPU and memory by asked and used.
func shares(name corev1.ResourceName, asked, used *Resources, pod *Pod, node *Node) (int64, int64, int64) {
	switch name {
	case corev1.ResourceCPU:
		return asked.MilliCPU, used.MilliCPU, node.Allocatable.MilliCPU
	case corev1.ResourceMemory:
		return asked.Memory, used.Memory, node.Allocatable.Memory
	case corev1.ResourceEphemeralStorage:
		return pod.Requests.Ephemeral, node.Requested.Ephemeral, node.Allocatable.Ephemeral
	}
	return pod.Requests.Scalar[name], node.Requested.Scalar[name], node.Allocatable.Scalar[name]
}

func scalar(name corev1.ResourceName) bool {
	return name != corev1.ResourceCPU && name != corev1.ResourceMemory && name != corev1.ResourceEphemeralStorage
}
