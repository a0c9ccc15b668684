package device

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// mostUIDs bounds what is remembered.
const mostUIDs = 500

// uids remembers the last pods that were seen to go, so that the hub need not be asked whether they have.
type uids struct {
	mu struct {
		sync.Mutex
		order []types.UID
		set   map[types.UID]bool
	}
}

func (u *uids) add(uid types.UID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mu.set == nil {
		u.mu.set = map[types.UID]bool{}
	}
	if u.mu.set[uid] {
		return
	}
	if len(u.mu.order) == mostUIDs {
		delete(u.mu.set, u.mu.order[0])
		u.mu.order = u.mu.order[1:]
	}
	u.mu.order, u.mu.set[uid] = append(u.mu.order, uid), true
}

func (u *uids) has(uid types.UID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.mu.set[uid]
}
