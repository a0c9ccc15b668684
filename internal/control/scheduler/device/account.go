package device

import (
	"strconv"
	"sync"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"
)

// Account holds which devices are given away, and to which claims. A claim counts as it is known best: as it was decided to be while
// that is being written (deciding), else in the newer of the versions that the scheduler wrote (written) and the informer has shown
// (shown). state is the sum over all of them. It has a lock, because informers and binders tell it what happens while the
// scheduler's goroutine decides.
type Account struct {
	mu struct {
		sync.Mutex
		deciding map[types.UID]*resourcev1.ResourceClaim
		written  map[types.UID]*resourcev1.ResourceClaim
		shown    map[types.UID]*resourcev1.ResourceClaim // those that have devices
		held     map[types.UID]holding
		users    map[structured.DeviceID]int
		state    structured.AllocatedState
	}
}

// NewAccount makes an empty account.
func NewAccount() *Account {
	a := &Account{}
	m := &a.mu
	m.deciding, m.written, m.shown = map[types.UID]*resourcev1.ResourceClaim{}, map[types.UID]*resourcev1.ResourceClaim{}, map[types.UID]*resourcev1.ResourceClaim{}
	m.held, m.users = map[types.UID]holding{}, map[structured.DeviceID]int{}
	m.state = structured.AllocatedState{
		AllocatedDevices: sets.New[structured.DeviceID](), AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](),
		AggregatedCapacity: structured.NewConsumedCapacityCollection(),
	}
	return a
}

// Shown takes what the informer tells of a claim: its versions before and now, nil for none.
func (a *Account) Shown(was, now *resourcev1.ResourceClaim) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now == nil {
		delete(a.mu.shown, was.UID)
		delete(a.mu.written, was.UID)
		a.countLocked(was.UID)
		return
	}
	if w := a.mu.written[now.UID]; w != nil && version(w) <= version(now) {
		delete(a.mu.written, now.UID)
	}
	if now.Status.Allocation == nil {
		delete(a.mu.shown, now.UID)
	} else {
		a.mu.shown[now.UID] = now
	}
	a.countLocked(now.UID)
}

// newest returns the version of a claim that the scheduler wrote, if that is newer than the informer's.
func (a *Account) newest(claim *resourcev1.ResourceClaim) *resourcev1.ResourceClaim {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.mu.written[claim.UID]; w != nil && version(w) > version(claim) {
		return w
	}
	return claim
}

// decided notes that a claim is to get the devices that it has now; undecided or settled ends it.
func (a *Account) decided(claim *resourcev1.ResourceClaim) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.deciding[claim.UID] = claim
	a.countLocked(claim.UID)
}

// pending reports whether somebody is about to write which devices a claim has.
func (a *Account) pending(uid types.UID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.deciding[uid] != nil
}

// wrote notes the hub's answer to a write of a claim.
func (a *Account) wrote(claim *resourcev1.ResourceClaim) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.mu.shown[claim.UID]; s == nil || version(s) < version(claim) {
		a.mu.written[claim.UID] = claim
	}
	a.countLocked(claim.UID)
}

// settled ends what decided began: it is written, or has come to nothing.
func (a *Account) settled(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.mu.deciding, uid)
	a.countLocked(uid)
}

// with has f look at what is given away. f keeps none of it.
func (a *Account) with(f func(structured.AllocatedState)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a.mu.state)
}

// countLocked brings the sum up to date after something was learnt of a claim.
func (a *Account) countLocked(uid types.UID) {
	claim := a.mu.deciding[uid]
	if claim == nil {
		claim = a.mu.written[uid]
	}
	if claim == nil {
		claim = a.mu.shown[uid]
	}
	a.removeLocked(a.mu.held[uid])
	delete(a.mu.held, uid)
	if claim == nil || claim.Status.Allocation == nil {
		return
	}
	h := holdingOf(claim.Status.Allocation)
	a.mu.held[uid] = h
	a.addLocked(h)
}

func (a *Account) addLocked(h holding) {
	for _, d := range h.devices {
		a.mu.users[d]++
		a.mu.state.AllocatedDevices.Insert(d)
	}
	a.mu.state.AllocatedSharedDeviceIDs.Insert(h.shares...)
	for _, c := range h.capacities {
		a.mu.state.AggregatedCapacity.Insert(c)
	}
}

func (a *Account) removeLocked(h holding) {
	for _, d := range h.devices {
		if a.mu.users[d]--; a.mu.users[d] <= 0 {
			delete(a.mu.users, d)
			a.mu.state.AllocatedDevices.Delete(d)
		}
	}
	a.mu.state.AllocatedSharedDeviceIDs.Delete(h.shares...)
	for _, c := range h.capacities {
		a.mu.state.AggregatedCapacity.Remove(c)
	}
}

// holding is what a claim has for itself: whole devices, and shares of devices with what they take of their capacity.
type holding struct {
	devices    []structured.DeviceID
	shares     []structured.SharedDeviceID
	capacities []structured.DeviceConsumedCapacity
}

// holdingOf is what an allocation keeps from others. Devices with admin access are nobody's.
func holdingOf(a *resourcev1.AllocationResult) (h holding) {
	for i := range a.Devices.Results {
		r := &a.Devices.Results[i]
		if r.AdminAccess != nil && *r.AdminAccess {
			continue
		}
		id := structured.MakeDeviceID(r.Driver, r.Pool, r.Device)
		if r.ShareID == nil {
			h.devices = append(h.devices, id)
			continue
		}
		h.shares = append(h.shares, structured.MakeSharedDeviceID(id, r.ShareID))
		if r.ConsumedCapacity != nil {
			h.capacities = append(h.capacities, structured.NewDeviceConsumedCapacity(id, r.ConsumedCapacity))
		}
	}
	return h
}

// version is the revision of a claim; 0 for one that has none.
func version(claim *resourcev1.ResourceClaim) uint64 {
	n, err := strconv.ParseUint(claim.ResourceVersion, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
