package metrics

import (
	"strings"
	"sync"
	"time"
)

// Counts is what has been counted. Every goroutine may count; the zero value has counted nothing.
type Counts struct {
	mu struct {
		sync.Mutex
		n    map[series]uint64
		took map[series]*histogram
	}
}

// series is a family with the values of its labels, joined by NUL.
type series struct {
	family Family
	values string
}

type histogram struct {
	count   uint64
	sum     float64
	buckets []uint64 // of the values up to each bound, each counted once
}

// Add counts one, with the values of the family's labels.
func (c *Counts) Add(f Family, values ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.n == nil {
		c.mu.n = map[series]uint64{}
	}
	c.mu.n[series{f, strings.Join(values, "\x00")}]++
}

// Took counts how long something took, with the values of the family's labels.
func (c *Counts) Took(f Family, d time.Duration, values ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.took == nil {
		c.mu.took = map[series]*histogram{}
	}
	s := series{f, strings.Join(values, "\x00")}
	h := c.mu.took[s]
	if h == nil {
		h = &histogram{buckets: make([]uint64, len(counted[f].buckets))}
		c.mu.took[s] = h
	}
	h.count++
	h.sum += d.Seconds()
	for i, bound := range counted[f].buckets {
		if d.Seconds() <= bound {
			h.buckets[i]++
			break
		}
	}
}
