package device

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sampan.dev/internal/control/scheduler/plugin"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	dracel "k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/dynamic-resource-allocation/structured"
)

// features are those of the allocator that are on by default in v1.37.
var features = structured.Features{
	AdminAccess: true, ConsumableCapacity: true, DeviceBindingAndStatus: true, DeviceTaints: true, FractionalCapacityRange: true,
	PartitionableDevices: true, PrioritizedList: true,
}

// Args are DynamicResourcesArgs.
type Args struct {
	FilterTimeout  time.Duration // for one node; 0 is for ever
	BindingTimeout time.Duration // until devices are ready to be bound
}

// Defaults are upstream's.
func Defaults() Args { return Args{FilterTimeout: 10 * time.Second, BindingTimeout: 10 * time.Minute} }

// Resources is DynamicResources. now belongs to the pod at hand: what its claims are, and of each node that passed which devices they
// would get there. Reserve moves it to reserved and puts the devices into the account of what is given away; PreBind, on a goroutine
// of the pod's own, writes that into the claims, and Unreserve gives back what was not written. Make one with New.
type Resources struct {
	args Args
	see  *Cluster

	cel *dracel.Cache // compiled selectors; made for the first pod, like now of the scheduler's goroutine
	now *attempt

	mu struct {
		sync.Mutex
		reserved map[types.UID]*attempt
	}
}

// attempt is what is known of one pod's claims while it is being placed.
type attempt struct {
	pod         types.UID
	claims      []claim
	open        int // claims that get devices with the node
	allocator   structured.Allocator
	unavailable map[int]bool // claims whose devices some node does not reach, or cannot be bound
	found       map[string][]resourcev1.AllocationResult
}

// claim is one of a pod's claims.
type claim struct {
	*resourcev1.ResourceClaim
	nodes *nodeaffinity.NodeSelector   // where its devices can be reached; nil: everywhere, or it has none yet
	gets  *resourcev1.AllocationResult // what Reserve has decided on
}

// New makes the plugin DynamicResources.
func New(args Args, see *Cluster) *Resources {
	r := &Resources{args: args, see: see}
	r.mu.reserved = map[types.UID]*attempt{}
	return r
}

// Name implements plugin.Plugin.
func (*Resources) Name() string { return "DynamicResources" }

// Static implements plugin.Static: pods that are signed pass everywhere.
func (*Resources) Static() {}

// Sign implements plugin.Signed.
func (*Resources) Sign(s *plugin.Signer) {
	if s.Pod().Devices {
		s.Refuse()
	}
}

// PreEnqueue implements plugin.PreEnqueue: a pod whose claims are not there is not tried.
func (r *Resources) PreEnqueue(pod *plugin.Pod) plugin.Verdict {
	if !pod.Devices {
		return plugin.Verdict{}
	}
	if _, err := r.claims(pod.Pod); err != nil {
		return plugin.Unresolvable(err.Error())
	}
	return plugin.Verdict{}
}

// claims are those of a pod, in the order of its spec, or why it cannot be placed yet.
func (r *Resources) claims(pod *corev1.Pod) ([]claim, error) {
	out := make([]claim, 0, len(pod.Spec.ResourceClaims))
	for i := range pod.Spec.ResourceClaims {
		name, made, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i])
		if err != nil {
			return nil, err
		}
		if name == nil {
			continue // there is none to be
		}
		c, err := r.see.claim(pod.Namespace, *name)
		if err != nil {
			return nil, err
		}
		if c.DeletionTimestamp != nil {
			return nil, fmt.Errorf("resourceclaim %q is being deleted", c.Name)
		}
		if made {
			if err := resourceclaim.IsForPod(pod, c, false); err != nil {
				return nil, err
			}
		}
		out = append(out, claim{ResourceClaim: c})
	}
	return out, nil
}

// PreFilter implements plugin.PreFilter.
func (r *Resources) PreFilter(pod *plugin.Pod) plugin.Verdict {
	if !pod.Devices {
		return plugin.Verdict{}
	}
	return r.look(pod)
}

// look works out what the claims of a pod are and, if some have no devices yet, what there is for them.
func (r *Resources) look(pod *plugin.Pod) plugin.Verdict {
	r.now = &attempt{pod: pod.UID}
	claims, err := r.claims(pod.Pod)
	if err != nil {
		return plugin.Unresolvable(err.Error())
	}
	open := 0
	for i := range claims {
		c := &claims[i]
		if a := c.Status.Allocation; a != nil {
			if c.nodes, err = reach(a); err != nil {
				return plugin.Failed(err)
			}
			continue
		}
		open++
		if r.see.Account.pending(c.UID) {
			return plugin.Unresolvable(fmt.Sprintf("resource claim %s/%s is in the process of being allocated", c.Namespace, c.Name))
		}
		if v := r.classed(c.ResourceClaim); !v.Fits() {
			return v
		}
	}
	*r.now = attempt{pod: pod.UID, claims: claims, open: open, unavailable: map[int]bool{}, found: map[string][]resourcev1.AllocationResult{}}
	if open == 0 {
		return plugin.Verdict{}
	}
	if r.cel == nil {
		r.cel = dracel.NewCache(10, dracel.Features{EnableConsumableCapacity: true})
	}
	r.see.Account.with(func(state structured.AllocatedState) {
		r.now.allocator, err = structured.NewAllocator(context.Background(), features, state, classes{r.see}, r.see.Slices(), r.cel)
	})
	if err != nil {
		return plugin.Failed(err)
	}
	return plugin.Verdict{}
}

func reach(a *resourcev1.AllocationResult) (*nodeaffinity.NodeSelector, error) {
	if a.NodeSelector == nil {
		return nil, nil
	}
	return nodeaffinity.NewNodeSelector(a.NodeSelector)
}

// classed says whether all classes that a claim names are there.
func (r *Resources) classed(c *resourcev1.ResourceClaim) plugin.Verdict {
	check := func(class, request string) plugin.Verdict {
		if class == "" {
			return plugin.Failed(fmt.Errorf("request %s: unsupported request type", request))
		}
		if _, ok := r.see.Class(class); !ok {
			return plugin.Unresolvable(fmt.Sprintf("request %s: device class %s does not exist", request, class))
		}
		return plugin.Verdict{}
	}
	for _, q := range c.Spec.Devices.Requests {
		switch {
		case q.Exactly != nil:
			if v := check(q.Exactly.DeviceClassName, q.Name); !v.Fits() {
				return v
			}
		case len(q.FirstAvailable) > 0:
			for _, sub := range q.FirstAvailable {
				if v := check(sub.DeviceClassName, q.Name+"/"+sub.Name); !v.Fits() {
					return v
				}
			}
		default:
			return plugin.Unresolvable(fmt.Sprintf("resource claim %s/%s, request %s: unknown request type", c.Namespace, c.Name, q.Name))
		}
	}
	return plugin.Verdict{}
}

// Filter implements plugin.Filter.
func (r *Resources) Filter(pod *plugin.Pod, node *plugin.Node) plugin.Verdict {
	if !pod.Devices {
		return plugin.Verdict{}
	}
	if r.now == nil || r.now.pod != pod.UID {
		if v := r.look(pod); !v.Fits() {
			return v
		}
	}
	var bad []int
	for i := range r.now.claims {
		if c := &r.now.claims[i]; c.nodes != nil && !c.nodes.Match(node.Node) || c.Status.Allocation != nil && r.stuck(c.ResourceClaim) {
			bad = append(bad, i)
		}
	}
	results, v := r.allocate(node.Node)
	if !v.Fits() {
		return v
	}
	if len(bad) > 0 {
		for _, i := range bad {
			r.now.unavailable[i] = true
		}
		return plugin.Unresolvable("resourceclaim not available on the node")
	}
	r.now.found[node.Name] = results
	return plugin.Verdict{}
}

// allocate finds devices on a node for the claims that have none.
func (r *Resources) allocate(node *corev1.Node) (results []resourcev1.AllocationResult, v plugin.Verdict) {
	if r.now.allocator == nil {
		return nil, v
	}
	ctx := context.Background()
	if r.args.FilterTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.args.FilterTimeout)
		defer cancel()
	}
	var open []*resourcev1.ResourceClaim
	for i := range r.now.claims {
		if c := r.now.claims[i].ResourceClaim; c.Status.Allocation == nil {
			open = append(open, c)
		}
	}
	var err error
	r.see.Account.with(func(structured.AllocatedState) { results, err = r.now.allocator.Allocate(ctx, node, open) })
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, plugin.Failed(fmt.Errorf("node %s: timed out trying to allocate devices", node.Name))
	case errors.Is(err, structured.ErrFailedAllocationOnNode):
		return nil, plugin.Unresolvable(err.Error())
	case err != nil:
		return nil, plugin.Failed(err)
	case len(results) != len(open):
		return nil, plugin.Unresolvable("cannot allocate all claims")
	}
	return results, v
}
