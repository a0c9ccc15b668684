package etcd

import (
	"maps"
	"sync"
	"sync/atomic"
)

// newest knows, of each prefix that has been scanned or watched, the newest revision acknowledged below it. It is asked when the member
// has failed: a watch that has shown that revision has shown all that was acknowledged there.
type newest struct {
	mu sync.Mutex // held to add a prefix
	of atomic.Pointer[map[string]*atomic.Int64]
}

// follow begins to note what is written below prefix. Whoever asks has seen what was written below it until before.
func (n *newest) follow(prefix string, before int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	of := map[string]*atomic.Int64{}
	if have := n.of.Load(); have != nil {
		if (*have)[prefix] != nil {
			return
		}
		of = maps.Clone(*have)
	}
	of[prefix] = &atomic.Int64{}
	of[prefix].Store(before)
	n.of.Store(&of)
}

// wrote notes a write to key. The prefixes that are followed end with a slash.
func (n *newest) wrote(key string, revision int64) {
	of := n.of.Load()
	if of == nil {
		return
	}
	for i := range key {
		if key[i] != '/' {
			continue
		}
		if at := (*of)[key[:i+1]]; at != nil {
			raise(at, revision)
		}
	}
}

// under is the newest revision below prefix, otherwise where that is not followed.
func (n *newest) under(prefix string, otherwise int64) int64 {
	if of := n.of.Load(); of != nil {
		if at := (*of)[prefix]; at != nil {
			return at.Load()
		}
	}
	return otherwise
}

// raise stores revision unless there is a newer one.
func raise(at *atomic.Int64, revision int64) {
	for {
		have := at.Load()
		if revision <= have || at.CompareAndSwap(have, revision) {
			return
		}
	}
}
