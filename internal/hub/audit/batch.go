package audit

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/util/flowcontrol"
)

// Carrier takes encoded events away, several at once.
type Carrier interface {
	Carry(events [][]byte) error
}

// BatchConfig says how events are gathered for a Carrier, by upstream's flags.
type BatchConfig struct {
	BufferSize int           // events that wait at most; further ones are lost
	MaxSize    int           // events that are carried at once
	MaxWait    time.Duration // how long one waits for others
	MaxBytes   int           // of the events of a batch; 0: any number
	QPS        float64       // batches a second; 0: any number
	Burst      int
}

// Batched carries events a while later, several at once. A goroutine runs while some wait.
type Batched struct {
	to       Carrier
	cfg      BatchConfig
	throttle flowcontrol.RateLimiter // nil: none
	log      *slog.Logger
	full     chan struct{} // has one element when a batch is complete

	mu struct {
		sync.Mutex
		waiting [][]byte
		running bool
	}
}

// NewBatched makes one.
func NewBatched(to Carrier, cfg BatchConfig, log *slog.Logger) *Batched {
	b := &Batched{to: to, cfg: cfg, log: log, full: make(chan struct{}, 1)}
	if cfg.QPS > 0 {
		b.throttle = flowcontrol.NewTokenBucketRateLimiter(float32(cfg.QPS), cfg.Burst)
	}
	return b
}

// Record implements Sink.
func (b *Batched) Record(e *Event) bool {
	data := e.AppendJSON(nil)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mu.waiting) >= b.cfg.BufferSize {
		b.log.Warn("an audit event is lost", "auditID", e.ID, "error", "audit buffer queue blocked")
		return true
	}
	b.mu.waiting = append(b.mu.waiting, data)
	if len(b.mu.waiting) >= b.cfg.MaxSize {
		select {
		case b.full <- struct{}{}:
		default:
		}
	}
	if !b.mu.running {
		b.mu.running = true
		go b.carry()
	}
	return true
}

// carry takes batches away until none is left.
func (b *Batched) carry() {
	for {
		if b.cfg.MaxSize > 1 {
			t := time.NewTimer(b.cfg.MaxWait)
			select {
			case <-t.C:
			case <-b.full:
				t.Stop()
			}
		}
		if b.throttle != nil {
			b.throttle.Accept()
		}
		if batch := b.next(); len(batch) > 0 {
			go b.send(batch) // a slow one does not hold up the next
		}
		if b.done() {
			return
		}
	}
}

func (b *Batched) next() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.mu.waiting), b.cfg.MaxSize)
	if b.cfg.MaxBytes > 0 {
		size := 0
		for i, e := range b.mu.waiting[:n] {
			if size += len(e); i > 0 && size > b.cfg.MaxBytes {
				n = i
				break
			}
		}
	}
	batch := b.mu.waiting[:n:n]
	if b.mu.waiting = b.mu.waiting[n:]; len(b.mu.waiting) >= b.cfg.MaxSize {
		select {
		case b.full <- struct{}{}:
		default:
		}
	}
	return batch
}

func (b *Batched) done() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.running = len(b.mu.waiting) > 0
	return !b.mu.running
}

func (b *Batched) send(batch [][]byte) {
	if err := b.to.Carry(batch); err != nil {
		b.log.Error("audit events are lost", "events", len(batch), "error", err)
	}
}

// Direct carries each event at once, before Record returns.
type Direct struct {
	To     Carrier
	Strict bool // a request whose first event is lost fails
	Log    *slog.Logger
}

// Record implements Sink.
func (d *Direct) Record(e *Event) bool {
	err := d.To.Carry([][]byte{e.AppendJSON(nil)})
	if err != nil {
		d.Log.Error("an audit event is lost", "auditID", e.ID, "error", err)
	}
	return err == nil || !d.Strict
}

// Poster sends JSON somewhere (hub/callout).
type Poster interface {
	PostJSON(ctx context.Context, body []byte, out any) error
}

// Webhook carries events to a program elsewhere, as an EventList of audit.k8s.io/v1.
type Webhook struct{ Post Poster }

// Carry implements Carrier.
func (w Webhook) Carry(events [][]byte) error {
	body := []byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[`)
	for i, e := range events {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, e...)
	}
	return w.Post.PostJSON(context.Background(), append(body, "]}"...), nil)
}

// Truncated keeps events from being too large for a sink: what was sent and answered is left out, and if that does not suffice, the
// whole event is lost.
type Truncated struct {
	To       Sink
	MaxEvent int // bytes
	Log      *slog.Logger
}

// Record implements Sink.
func (t *Truncated) Record(e *Event) bool {
	size := len(e.AppendJSON(nil))
	if size > t.MaxEvent && e.Level >= Request {
		less := *e
		less.Request, less.Response = nil, nil
		less.Annotations = map[string]string{"audit.k8s.io/truncated": "true"}
		for k, v := range e.Annotations {
			less.Annotations[k] = v
		}
		e, size = &less, len(less.AppendJSON(nil))
	}
	if size > t.MaxEvent {
		t.Log.Error("an audit event is lost", "auditID", e.ID, "error", "event is too large even after truncating")
		return true
	}
	return t.To.Record(e)
}
