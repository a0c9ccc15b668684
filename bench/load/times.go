package load

import (
	"slices"
	"sync"
	"time"
)

// times collects durations from several goroutines.
type times struct {
	mu struct {
		sync.Mutex
		ms []float64
	}
}

func (t *times) add(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.ms = append(t.mu.ms, milliseconds(d))
}

// at returns the quantile q in milliseconds.
func (t *times) at(q float64) float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return quantile(t.mu.ms, q)
}

// quantile sorts ms and returns its element at q, without interpolation.
func quantile(ms []float64, q float64) float64 {
	if len(ms) == 0 {
		return 0
	}
	slices.Sort(ms)
	return ms[min(len(ms)-1, int(q*float64(len(ms))))]
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
