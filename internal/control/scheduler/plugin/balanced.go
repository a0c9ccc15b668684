package plugin

import (
	"math"

	corev1 "k8s.io/api/core/v1"
)

// Balanced is NodeResourcesBalancedAllocation: it prefers nodes on which the pod brings the shares of the resources in use closer
// together. The zero value looks at CPU and memory.
type Balanced struct {
	absolute
	others []corev1.ResourceName // to look at instead; nil: CPU and memory
}

// NewBalanced returns one that looks at these resources.
func NewBalanced(resources ...corev1.ResourceName) Balanced { return Balanced{others: resources} }

// Name implements Plugin.
func (Balanced) Name() string { return "NodeResourcesBalancedAllocation" }

// Sign implements Signed.
func (Balanced) Sign(s *Signer) { s.Requests() }

// Score implements Score: about 75 when the balance stays as it is, towards 100 when it gets better, towards 50 when it gets
// worse (upstream since v1.35). A pod that asks for nothing changes no balance and scores 0 everywhere.
func (b Balanced) Score(pod *Pod, node *Node) int64 {
	if b.others != nil {
		return b.score(pod, node)
	}
	if pod.Requests.MilliCPU == 0 && pod.Requests.Memory == 0 {
		return 0
	}
	without := evenness(node.Requested.MilliCPU, node.Requested.Memory, node)
	with := evenness(node.Requested.MilliCPU+pod.Requests.MilliCPU, node.Requested.Memory+pod.Requests.Memory, node)
	return MaxScore/2 + (MaxScore/2+with-without)/2
}

func evenness(cpu, mem int64, node *Node) int64 {
	if node.Allocatable.MilliCPU == 0 || node.Allocatable.Memory == 0 {
		return MaxScore
	}
	a := min(float64(cpu)/float64(node.Allocatable.MilliCPU), 1)
	b := min(float64(mem)/float64(node.Allocatable.Memory), 1)
	return int64((1 - math.Abs(a-b)/2) * MaxScore)
}

// score is Score for any resources.
func (b Balanced) score(pod *Pod, node *Node) int64 {
	var with, without []float64
	asks := false
	for _, name := range b.others {
		want, used, have := shares(name, &pod.Requests, &node.Requested, pod, node)
		asks = asks || want > 0
		if have == 0 || want == 0 && scalar(name) {
			continue
		}
		with = append(with, min(float64(used+want)/float64(have), 1))
		without = append(without, min(float64(used)/float64(have), 1))
	}
	if !asks {
		return 0
	}
	return MaxScore/2 + (MaxScore/2+even(with)-even(without))/2
}

// even is 100 less the deviation of some shares in hundredths.
func even(shares []float64) int64 {
	deviation := 0.0
	switch n := float64(len(shares)); {
	case len(shares) == 2:
		deviation = math.Abs((shares[0] - shares[1]) / 2)
	case len(shares) > 2:
		mean, sum := 0.0, 0.0
		for _, s := range shares {
			mean += s / n
		}
		for _, s := range shares {
			sum += (s - mean) * (s - mean)
		}
		deviation = math.Sqrt(sum / n)
	}
	return int64((1 - deviation) * MaxScore)
}
