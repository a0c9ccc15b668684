package kubelet

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	resourcehelper "k8s.io/component-helpers/resource"
)

// roster is the pods of the node that have a worker. Every goroutine may ask; its lock is taken before a record's.
type roster struct {
	given func(pod *corev1.Pod) *corev1.Pod // the pod with what the node has given it, whatever it asks for now
	mu    struct {
		sync.Mutex
		records map[types.UID]*record
		adopted bool // what an earlier run left has workers
	}
}

func newRoster() *roster {
	r := &roster{given: func(pod *corev1.Pod) *corev1.Pod { return pod }}
	r.mu.records = map[types.UID]*record{}
	return r
}

// add puts a pod on the roster and returns its record, and the other pods that count against the node's resources. fresh is false
// when it was there.
func (r *roster) add(pod *corev1.Pod) (rec *record, others []*corev1.Pod, fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec := r.mu.records[pod.UID]; rec != nil {
		return rec, nil, false
	}
	for _, o := range r.mu.records {
		if p, active := o.active(); active {
			others = append(others, r.given(p))
		}
	}
	rec = newRecord(pod)
	r.mu.records[pod.UID] = rec
	return rec, others, true
}

// others returns the pods but one that count against the node's resources, with what they were given.
func (r *roster) others(but types.UID) (out []*corev1.Pod) {
	for _, rec := range r.all() {
		if p, active := rec.active(); active && p.UID != but {
			out = append(out, r.given(p))
		}
	}
	return out
}

// drop forgets a pod whose worker has ended.
func (r *roster) drop(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.records, uid)
}

// get returns the record of a pod, nil when it has no worker.
func (r *roster) get(uid types.UID) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.records[uid]
}

// all returns every record, in no order.
func (r *roster) all() []*record {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*record, 0, len(r.mu.records))
	for _, rec := range r.mu.records {
		out = append(out, rec)
	}
	return out
}

// wake makes a pod's worker look again.
func (r *roster) wake(uid types.UID) {
	if rec := r.get(uid); rec != nil {
		rec.poke()
	}
}

// wakeAll makes every worker look again.
func (r *roster) wakeAll() {
	for _, rec := range r.all() {
		rec.poke()
	}
}

// setAdopted notes that everything that an earlier run left has a worker.
func (r *roster) setAdopted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.adopted = true
}

// adopted reports whether everything that an earlier run left has a worker.
func (r *roster) adopted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.adopted
}

// predecessor reports whether a pod of the same name is still to be stopped: a changed file is a new pod, which waits for the old
// one as an update in place would. One that an earlier run has left has a worker once it was found to be an orphan.
func (r *roster) predecessor(ctx context.Context, rt runtime.Interface, pod *corev1.Pod) bool {
	adopted := r.adopted() // before the records are looked at, which then are all that there are
	for _, rec := range r.all() {
		if p, active := rec.active(); active && p.UID != pod.UID && p.Name == pod.Name && p.Namespace == pod.Namespace {
			return true
		}
	}
	if adopted {
		return false
	}
	list, err := rt.List(ctx)
	return err != nil || slices.ContainsFunc(list, func(p *runtime.Pod) bool {
		return p.Name == pod.Name && p.Namespace == pod.Namespace && p.UID != pod.UID && p.Running()
	})
}

// balance sets the CPU share of the burstable class by what its pods request, and keeps memory for the classes where the rules say so.
func (r *roster) balance(groups *cgroup.Manager, rules podspec.MemoryRules, log *slog.Logger) {
	if err := groups.Balance(r.sums(rules)); err != nil {
		log.Debug("shares of the classes not set", "error", err)
	}
}

// sums are what the active pods request.
func (r *roster) sums(rules podspec.MemoryRules) (s cgroup.Sums) {
	for _, rec := range r.all() {
		pod, active := rec.active()
		if !active {
			continue
		}
		class := pods.QoS(pod)
		if class == corev1.PodQOSBestEffort || class == corev1.PodQOSGuaranteed && !rules.Keeps() {
			continue
		}
		req := resourcehelper.PodRequests(r.given(pod), resourcehelper.PodResourcesOptions{})
		memory := int64(0)
		if rules.Keeps() {
			memory = req.Memory().Value()
		}
		if class == corev1.PodQOSGuaranteed {
			s.Guaranteed += memory
			continue
		}
		s.CPU += req.Cpu().MilliValue()
		s.Burstable += memory
	}
	return s
}
