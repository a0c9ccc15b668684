package proc

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Set is the processes of one side, by name. It is a flag of the load program: -pid name=123, repeated.
type Set map[string]int

func (s Set) String() string {
	var b strings.Builder
	for name, pid := range s {
		fmt.Fprintf(&b, "%s=%d ", name, pid)
	}
	return b.String()
}

// Set adds name=pid.
func (s Set) Set(v string) error {
	name, num, ok := strings.Cut(v, "=")
	pid, err := strconv.Atoi(num)
	if !ok || err != nil {
		return fmt.Errorf("want name=pid")
	}
	s[name] = pid
	return nil
}

// Usage is what a set of processes, this process and the rest of the machine had used at a moment, in seconds, bytes and calls
// since each began, or between two moments. CPU is known between two only.
type Usage struct {
	At             time.Time
	CPU            float64
	Self           float64
	Busy           float64
	Written, Calls float64

	fine map[string]float64 // CPU of each of the set, by its threads
	tick map[string]float64 // the same by the kernel's clock, in steps of 10 ms
}

// Take reads the usage of the set now.
func (s Set) Take() Usage {
	u := Usage{At: time.Now(), Busy: Busy(), Self: CPU(os.Getpid()), fine: map[string]float64{}, tick: map[string]float64{}}
	for name, pid := range s {
		u.fine[name], u.tick[name] = Scheduled(pid), CPU(pid)
		w, c := IO(pid)
		u.Written += w
		u.Calls += c
	}
	return u
}

// Since returns how much has been used since before.
func (s Set) Since(before Usage) Usage {
	u := s.Take()
	for name := range s {
		u.CPU += cpuBetween(u.fine[name]-before.fine[name], u.tick[name]-before.tick[name])
	}
	u.Self -= before.Self
	u.Busy -= before.Busy
	u.Written -= before.Written
	u.Calls -= before.Calls
	return u
}

// cpuBetween takes the fine figure when the coarse one does not contradict it, as it does when threads have ended meanwhile.
func cpuBetween(fine, tick float64) float64 {
	if math.Abs(fine-tick) <= 0.025+0.02*tick {
		return fine
	}
	return tick
}

// Others returns the cores that were busy with neither the set nor this process, given what Since returned.
func (u Usage) Others(wall time.Duration) float64 {
	if wall <= 0 {
		return 0
	}
	return max(0, (u.Busy-u.CPU-u.Self)/wall.Seconds())
}

// RSS returns the resident mebibytes of the set.
func (s Set) RSS() float64 {
	sum := 0.0
	for _, pid := range s {
		sum += RSS(pid)
	}
	return sum
}

// Peak samples the set's resident memory every 10 ms until the function it returns is called, which gives what it was at
// first and at most.
func (s Set) Peak() func() (first, most float64) {
	first := s.RSS()
	most := first
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				most = max(most, s.RSS())
			}
		}
	})
	return func() (float64, float64) {
		close(quit)
		wg.Wait()
		return first, most
	}
}
