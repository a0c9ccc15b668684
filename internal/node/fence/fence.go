package fence

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Reason is what the status of a pod says that was ended, Message why.
const (
	Reason  = "NodeCutOff"
	Message = "The node could not reach the API server. It ended the pod so that another may take its place."
)

// Grace is what an exclusive pod has to end by itself, at most.
const Grace = 10 * time.Second

// Times are when a node that renews its lease for so long ends its pods, and when it promises that they have ended. In between lie the
// grace and some seconds for the runtime.
func Times(lease time.Duration) (after, promise time.Duration) {
	after = lease + 5*time.Second
	return after, after + Grace + 5*time.Second
}

// Fence watches how long ago the lease was renewed. Its clock is the machine's since its boot, which runs on while the machine is
// suspended and which nobody sets.
type Fence struct {
	After time.Duration                    // since the last renewal
	File  string                           // keeps the time of the last renewal until a reboot; "" for none
	End   func(ctx context.Context)        // ends the pods; called again and again while the node is cut off
	Now   func() (sinceBoot time.Duration) // the machine's clock when nil

	mu   sync.Mutex
	last time.Duration
}

// Begin is called before a renewal is sent; what it returns is called when it was acknowledged. The renewal counts from the former: when
// the control plane saw it is not known, but that was later.
func (f *Fence) Begin() (acknowledged func()) {
	at := f.now()
	return func() {
		f.mu.Lock()
		f.last = max(f.last, at)
		f.mu.Unlock()
		if f.File != "" {
			_ = os.WriteFile(f.File, []byte(strconv.FormatInt(int64(at), 10)), 0o600) // in memory
		}
	}
}

// Run calls End while the node is cut off, until ctx ends. A kubelet that finds no time of an earlier one counts from its own start.
func (f *Fence) Run(ctx context.Context) {
	f.mu.Lock()
	if f.last == 0 {
		f.last = f.earlier()
	}
	f.mu.Unlock()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if f.Cut() {
			f.End(ctx)
		}
	}
}

// Cut reports whether the node has not renewed its lease for so long. Without Run it counts from the first time that it is asked, or from
// the first renewal.
func (f *Fence) Cut() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == 0 {
		f.last = f.now()
	}
	return f.now()-f.last >= f.After
}

// earlier is when a kubelet before this one renewed the lease last, or now.
func (f *Fence) earlier() time.Duration {
	now := f.now()
	if f.File == "" {
		return now
	}
	data, err := os.ReadFile(f.File)
	if err != nil {
		return now
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if at := time.Duration(n); err == nil && at > 0 && at < now {
		return at
	}
	return now
}

func (f *Fence) now() time.Duration {
	if f.Now != nil {
		return f.Now()
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
