package podspec

import (
	"fmt"
	"math"
	"os"
	"strconv"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/cgroup"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// MemoryRules say what is done with the memory of containers beside limiting it. All but OneProcess need control groups of version 2. The
// zero value is the default of a stock kubelet: nothing is reserved or throttled, nothing is swapped, and a container that is out of memory
// is killed as a whole.
type MemoryRules struct {
	Off        bool    // no file of memory protection is written at all (the feature gate MemoryQoS is off)
	Tiered     bool    // what pods request is kept from reclaim: always for guaranteed pods, as long as possible for burstable ones
	Throttle   float64 // the part of the way from request to limit from which on allocations are slowed down; 0: they are not
	Swap       bool    // containers of burstable pods may be swapped out, in proportion to what they request
	OneProcess bool    // where memory runs out the kernel kills one process of a container
}

// MemoryHost is what of a machine the rules depend on. Amounts are in bytes.
type MemoryHost struct {
	Unified     bool // control groups of version 2
	Swappable   bool // the kernel limits swap by control group
	Total, Swap int64
	Allocatable int64 // to pods
}

// pageSize is what memory.high is rounded down to.
var pageSize = int64(os.Getpagesize())

// Apply writes into a container's resources what the rules say of it. Whatever an earlier kubelet with other rules has set is set anew: the
// same resources update a container that runs.
func (r MemoryRules) Apply(res *cri.LinuxContainerResources, pod *corev1.Pod, c *corev1.Container, host MemoryHost) {
	if !host.Unified {
		if host.Swappable {
			res.MemorySwapLimitInBytes = res.MemoryLimitInBytes // memory and swap together: none is left for swap
		}
		return
	}
	res.Unified = map[string]string{}
	if !r.OneProcess {
		res.Unified["memory.oom.group"] = "1"
	}
	if host.Swappable {
		res.Unified["memory.swap.max"] = decimal(r.swap(pod, c, host))
	}
	request := c.Resources.Requests.Memory().Value()
	if r.Off {
		res.Unified["memory.high"] = "max"
		return
	}
	switch {
	case !r.Tiered || request == 0:
		res.Unified["memory.min"], res.Unified["memory.low"] = "0", "0"
	case pods.QoS(pod) == corev1.PodQOSGuaranteed:
		res.Unified["memory.min"] = decimal(request)
	default:
		res.Unified["memory.low"] = decimal(request)
	}
	if high := r.high(pod, c, host); high > request {
		res.Unified["memory.high"] = decimal(high)
	}
}

// swap is how much of a container may be swapped out.
func (r MemoryRules) swap(pod *corev1.Pod, c *corev1.Container, host MemoryHost) int64 {
	request, limit := c.Resources.Requests.Memory(), c.Resources.Limits.Memory()
	if !r.Swap || pods.IsCritical(pod) || pods.QoS(pod) != corev1.PodQOSBurstable || request.Cmp(*limit) == 0 ||
		host.Total <= 0 || request.Value() > host.Total {
		return 0
	}
	return int64(float64(request.Value()) / float64(host.Total) * float64(host.Swap))
}

// high is from where on a container is slowed down; 0: nowhere. One that is limited by its pod alone is slowed down with it.
func (r MemoryRules) high(pod *corev1.Pod, c *corev1.Container, host MemoryHost) int64 {
	request, limit := c.Resources.Requests.Memory().Value(), c.Resources.Limits.Memory().Value()
	byPod := limit == 0 && pod.Spec.Resources != nil && !pod.Spec.Resources.Limits.Memory().IsZero()
	if r.Throttle == 0 || byPod || request == limit && request != 0 {
		return 0
	}
	if limit == 0 {
		if limit = host.Allocatable; limit <= 0 {
			return 0
		}
	}
	return int64(math.Floor(float64(request)+(float64(limit)-float64(request))*r.Throttle)/float64(pageSize)) * pageSize
}

// Keeps reports whether what pods request is kept from reclaim.
func (r MemoryRules) Keeps() bool { return r.Tiered && !r.Off }

// Reserve adds to a pod's group what the rules keep for it from reclaim.
func (r MemoryRules) Reserve(group *cgroup.Pod, pod *corev1.Pod) {
	if !r.Keeps() {
		return
	}
	requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	request := requests.Memory().Value()
	if group.Class == cgroup.Guaranteed {
		group.MemoryMin = request
	} else {
		group.MemoryLow = request
	}
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// Names of the policies in a KubeletConfiguration.
const (
	NoReservation     = "None"
	TieredReservation = "TieredReservation"
	NoSwap            = "NoSwap"
	LimitedSwap       = "LimitedSwap"
)

// Policies are the rules as a KubeletConfiguration names them.
func (r MemoryRules) Policies() (reservation, swap string) {
	reservation, swap = NoReservation, NoSwap
	if r.Tiered {
		reservation = TieredReservation
	}
	if r.Swap {
		swap = LimitedSwap
	}
	return reservation, swap
}

// ReadMemoryRules makes rules of fields of a KubeletConfiguration; an error is in the words of upstream's validation. oneProcess is nil where
// nothing is said of it.
func ReadMemoryRules(reservation, swap string, throttle float64, oneProcess *bool, unified, gate bool) (r MemoryRules, err error) {
	switch {
	case swap != "" && swap != NoSwap && swap != LimitedSwap:
		return r, fmt.Errorf("invalid configuration: memorySwap.swapBehavior %q must be one of: \"\", %q or %q", swap, LimitedSwap, NoSwap)
	case throttle < 0 || throttle > 1:
		return r, fmt.Errorf("invalid configuration: memoryThrottlingFactor %v must be greater than 0 and less than or equal to 1.0", throttle)
	case !gate && throttle != 0 && throttle != 0.9: // 0.9 was the default
		return r, fmt.Errorf("invalid configuration: memoryThrottlingFactor must not be set when MemoryQoS feature gate is disabled")
	case !gate && reservation == TieredReservation:
		return r, fmt.Errorf("invalid configuration: memoryReservationPolicy %q requires MemoryQoS feature gate to be enabled", reservation)
	case reservation != NoReservation && reservation != TieredReservation:
		return r, fmt.Errorf("invalid configuration: option %q specified for memoryReservationPolicy. Valid options are %q or %q", reservation, NoReservation, TieredReservation)
	case !unified && oneProcess != nil && !*oneProcess:
		return r, fmt.Errorf("invalid configuration: singleProcessOOMKill must not be explicitly set to false when using cgroup v1")
	}
	r = MemoryRules{Off: !gate, Tiered: reservation == TieredReservation, Throttle: throttle, Swap: swap == LimitedSwap}
	r.OneProcess = oneProcess != nil && *oneProcess
	return r, nil
}
