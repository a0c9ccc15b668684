package flow

import (
	"errors"
	"sync"
	"sync/atomic"
)

// Upstream's limits of requests under way.
const (
	DefaultReads  = 400 // --max-requests-inflight
	DefaultWrites = 200 // --max-mutating-requests-inflight
)

// ErrTooMany refuses a request that there is no room for now.
var ErrTooMany = errors.New("Too many requests, please try again later.")

// RetryAfter is when a client that was refused may come again, in seconds.
const RetryAfter = "1"

// Rank is what becomes of a request when as many are under way as may be.
type Rank uint8

const (
	Ordinary Rank = iota // it is refused
	Vital                // nodes, leaders: it has room of its own, where no user takes more than a share
	Exempt               // administrators, health checks: it goes on
)

// How many vital requests of all users, and of one, go on beyond the limits.
const (
	vitalRoom  = 100
	vitalShare = 20
)

// Gate limits the requests that are under way at a time, those that read and those that write apart. The zero value has no
// limits.
//
// Requests are counted by atomic adds. Only vital ones that come beyond the limit take mu, which guards their number and their
// number by user: vital is the sum of by, at most vitalRoom, and each of by is from 1 to vitalShare.
type Gate struct {
	Reads, Writes Pool
	Long          atomic.Int64 // those that may take as long as they like, which no limit is for

	mu struct {
		sync.Mutex
		vital int
		by    map[string]int // user
	}
}

// Pool is a number of requests that may be under way together.
type Pool struct {
	Limit int64 // 0: any number
	under atomic.Int64
}

// Under is how many are under way.
func (p *Pool) Under() int64 { return p.under.Load() }

// enter counts one more if there is room, or in any case.
func (p *Pool) enter(inAnyCase bool) bool {
	if n := p.under.Add(1); n > p.Limit && p.Limit > 0 && !inAnyCase {
		p.under.Add(-1)
		return false
	}
	return true
}

// Enter lets a request of a user in, or returns false. leave is called when it has been answered.
func (g *Gate) Enter(p *Pool, rank Rank, user string) (leave func(), ok bool) {
	if p.enter(rank == Exempt) {
		return p.leave, true
	}
	if rank != Vital || !g.takeVital(user) {
		return nil, false
	}
	p.enter(true)
	return func() {
		p.leave()
		g.giveVital(user)
	}, true
}

func (p *Pool) leave() { p.under.Add(-1) }

func (g *Gate) takeVital(user string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.vital >= vitalRoom || g.mu.by[user] >= vitalShare {
		return false
	}
	if g.mu.by == nil {
		g.mu.by = map[string]int{}
	}
	g.mu.vital++
	g.mu.by[user]++
	return true
}

func (g *Gate) giveVital(user string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.vital--
	if g.mu.by[user]--; g.mu.by[user] == 0 {
		delete(g.mu.by, user)
	}
}
