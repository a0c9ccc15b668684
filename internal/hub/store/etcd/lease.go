package etcd

import (
	"context"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// How far one lease serves several keys, upstream's figures: for a twentieth of the time to live, a minute at most, and
// for a thousand keys, since etcd revokes all keys of a lease in one go.
const (
	leaseShare    = 20
	leaseSpan     = 60 // seconds
	leaseCapacity = 1000
)

// leases hands out etcd leases, one for many keys: granting one costs as much as writing a key.
type leases struct {
	c  *clientv3.Client
	mu struct {
		sync.Mutex
		id      clientv3.LeaseID
		expires time.Time
		keys    int
	}
}

// get returns a lease that lives for ttl seconds or a little longer.
func (l *leases) get(ctx context.Context, ttl int64) (clientv3.LeaseID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	span := min(ttl/leaseShare, leaseSpan)
	now := time.Now()
	least := now.Add(time.Duration(ttl) * time.Second)
	most := now.Add(time.Duration(ttl+span) * time.Second)
	if l.mu.id != 0 && !l.mu.expires.Before(least) && !l.mu.expires.After(most) && l.mu.keys < leaseCapacity {
		l.mu.keys++
		return l.mu.id, nil
	}
	r, err := l.c.Grant(ctx, ttl+span)
	if err != nil {
		return 0, fmt.Errorf("grant a lease of %d s: %w", ttl+span, err)
	}
	l.mu.id, l.mu.expires, l.mu.keys = r.ID, most, 1
	return r.ID, nil
}
