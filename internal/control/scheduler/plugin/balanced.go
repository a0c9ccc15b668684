package plugin

import "math"

// Balanced is NodeResourcesBalancedAllocation: it prefers nodes on which the pod brings the shares of CPU and memory in use
// closer together.
type Balanced struct{ absolute }

// Name implements Plugin.
func (Balanced) Name() string { return "NodeResourcesBalancedAllocation" }

// Sign implements Signed.
func (Balanced) Sign(s *Signer) { s.Requests() }

// Score implements Score: about 75 when the balance stays as it is, towards 100 when it gets better, towards 50 when it gets
// worse (upstream since v1.35). A pod that asks for nothing changes no balance and scores 0 everywhere.
func (Balanced) Score(pod *Pod, node *Node) int64 {
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
