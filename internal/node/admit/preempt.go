package admit

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
)

// What pods that give way to a critical one are told, in upstream's words (pkg/kubelet/preemption).
const (
	Preempting       = "Preempting"
	PreemptedMessage = "Preempted in order to admit critical pod"
	PreemptedTarget  = "Pod was preempted by Kubelet to accommodate a critical pod."
)

// need is what a node lacks of a resource for a pod: CPU in thousandths.
type need struct {
	name   corev1.ResourceName
	amount int64
}

type needs []need

// lacks is all that a node lacks for a pod beside the others.
func lacks(pod *corev1.Pod, others []*corev1.Pod, allocatable corev1.ResourceList) (out needs) {
	if most := allocatable.Pods(); !most.IsZero() && int64(len(others))+1 > most.Value() {
		out = append(out, need{corev1.ResourcePods, int64(len(others)) + 1 - most.Value()})
	}
	want := resource.PodRequests(pod, resource.PodResourcesOptions{})
	var names []corev1.ResourceName
	for name := range want {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		have, known := allocatable[name]
		ask := amount(pod, name)
		if !known || ask == 0 {
			continue
		}
		free := have.Value()
		if name == corev1.ResourceCPU {
			free = have.MilliValue()
		}
		for _, o := range others {
			free -= amount(o, name)
		}
		if ask > free {
			out = append(out, need{name, ask - free})
		}
	}
	return out
}

// amount is what a pod asks for of a resource.
func amount(pod *corev1.Pod, name corev1.ResourceName) int64 {
	if name == corev1.ResourcePods {
		return 1
	}
	q := resource.PodRequests(pod, resource.PodResourcesOptions{})[name]
	if name == corev1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}

// Victims picks the pods that give way to one that the node has no room for: as few of the better classes as will do, of each those that come
// nearest to what is lacking. may says which may be picked at all.
func Victims(pod *corev1.Pod, others []*corev1.Pod, allocatable corev1.ResourceList, may func(*corev1.Pod) bool) ([]*corev1.Pod, error) {
	lacking := lacks(pod, others, allocatable)
	classes := map[corev1.PodQOSClass][]*corev1.Pod{}
	var all []*corev1.Pod
	for _, o := range others {
		if may(o) {
			class := pods.QoS(o)
			classes[class], all = append(classes[class], o), append(all, o)
		}
	}
	if rest := lacking.less(all); len(rest) > 0 {
		return nil, rest.hopeless()
	}
	best, burst := classes[corev1.PodQOSBestEffort], classes[corev1.PodQOSBurstable]
	guaranteed, err := nearest(classes[corev1.PodQOSGuaranteed], lacking.less(slices.Concat(best, burst)))
	if err != nil {
		return nil, err
	}
	burst, err = nearest(burst, lacking.less(slices.Concat(best, guaranteed)))
	if err != nil {
		return nil, err
	}
	best, err = nearest(best, lacking.less(slices.Concat(burst, guaranteed)))
	return slices.Concat(best, burst, guaranteed), err
}

// nearest picks pods one by one, each time the one that leaves least of what is needed, and of such the smallest.
func nearest(list []*corev1.Pod, n needs) (out []*corev1.Pod, err error) {
	list = slices.Clone(list)
	for len(n) > 0 {
		if len(list) == 0 {
			return nil, n.hopeless()
		}
		best, at := float64(len(n)+1), 0
		for i, pod := range list {
			if d := n.distance(pod); d < best || d == best && smaller(pod, list[at]) {
				best, at = d, i
			}
		}
		n, out = n.less(list[at:at+1]), append(out, list[at])
		list[at] = list[len(list)-1]
		list = list[:len(list)-1]
	}
	return out, nil
}

// distance is how far a pod is from being enough: the squares of the parts that it leaves, summed up.
func (n needs) distance(pod *corev1.Pod) (sum float64) {
	for _, one := range n {
		if left := float64(one.amount - amount(pod, one.name)); left > 0 {
			sum += math.Pow(left/float64(one.amount), 2)
		}
	}
	return sum
}

// less is what is needed still without some pods.
func (n needs) less(gone []*corev1.Pod) (out needs) {
	for _, one := range n {
		for _, pod := range gone {
			one.amount -= amount(pod, one.name)
		}
		if one.amount > 0 {
			out = append(out, one)
		}
	}
	return out
}

func (n needs) hopeless() error {
	var b strings.Builder
	for _, one := range n {
		fmt.Fprintf(&b, "(res: %v, q: %d), ", one.name, one.amount)
	}
	return fmt.Errorf("no set of running pods found to reclaim resources: [%s]", b.String())
}

// smaller compares what two pods ask for, memory before CPU.
func smaller(a, b *corev1.Pod) bool {
	for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceCPU} {
		if x, y := amount(a, name), amount(b, name); x != y {
			return x < y
		}
	}
	return true
}
