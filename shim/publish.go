package main

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/ttrpc"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// publisher sends events to containerd in the order in which they were published. An event that containerd does not take, because it
// is away, is tried again a few times and then dropped, and so are the oldest of too many: containerd asks for the states of all
// containers when it comes back.
//
// The goroutine run alone uses client and takes events out of the queue; mu guards the queue and is not held while one is sent.
type publisher struct {
	address string
	log     *slog.Logger
	wake    chan struct{} // holds a value when there may be something to send
	client  *ttrpc.Client // nil while there is no connection

	mu struct {
		sync.Mutex
		queue []*types.Envelope
	}
}

// The limits of the queue and of the tries to send one event. They are those of containerd's own shims.
const (
	maxQueued = 2048
	tries     = 5
	retryWait = time.Second
	callLimit = 5 * time.Second
)

// newPublisher returns a publisher to the socket at address; it runs until the process ends.
func newPublisher(address string, log *slog.Logger) *publisher {
	p := &publisher{address: address, log: log, wake: make(chan struct{}, 1)}
	go p.run()
	return p
}

// publish queues an event and does not wait until it is sent.
func (p *publisher) publish(namespace, topic string, event any) {
	body, err := typeurl.MarshalAnyToProto(event)
	if err != nil {
		p.log.Error("event not encoded", "topic", topic, "error", err)
		return
	}
	e := &types.Envelope{Timestamp: timestamppb.Now(), Namespace: namespace, Topic: topic, Event: body}
	p.mu.Lock()
	if len(p.mu.queue) == maxQueued {
		p.mu.queue = p.mu.queue[1:]
	}
	p.mu.queue = append(p.mu.queue, e)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run sends what is queued.
func (p *publisher) run() {
	for range p.wake {
		for e := p.first(); e != nil; e = p.first() {
			for n := 1; !p.send(e) && n < tries; n++ {
				time.Sleep(retryWait)
			}
			p.drop(e)
		}
	}
}

// send sends an event and reports whether containerd took it.
func (p *publisher) send(e *types.Envelope) bool {
	if p.client == nil {
		conn, err := net.DialTimeout("unix", p.address, callLimit)
		if err != nil {
			return false
		}
		p.client = ttrpc.NewClient(conn)
	}
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	_, err := events.NewTTRPCEventsClient(p.client).Forward(ctx, &events.ForwardRequest{Envelope: e})
	if err != nil {
		p.log.Warn("event not taken", "topic", e.Topic, "error", err)
		p.client.Close()
		p.client = nil
	}
	return err == nil
}

// first returns the oldest event of the queue, or nil.
func (p *publisher) first() *types.Envelope {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.queue) == 0 {
		return nil
	}
	return p.mu.queue[0]
}

// drop takes an event out of the queue unless publish has already made room in its place.
func (p *publisher) drop(e *types.Envelope) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.queue) > 0 && p.mu.queue[0] == e {
		p.mu.queue = p.mu.queue[1:]
	}
}

// flush waits until the queue is empty, but no longer than limit.
func (p *publisher) flush(limit time.Duration) {
	for end := time.Now().Add(limit); p.first() != nil && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
	}
}
