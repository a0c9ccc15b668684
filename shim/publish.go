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

// publisher sends events to containerd, in order. What cannot be sent is tried again while containerd is away; of too many
// the oldest are dropped, since containerd asks for states anew when it comes back.
type publisher struct {
	address string
	log     *slog.Logger
	wake    chan struct{}
	client  *ttrpc.Client // nil while there is none

	mu struct {
		sync.Mutex
		queue []*types.Envelope
	}
}

// Queued at most, tries of one event, and the time between: as containerd's own shims have it.
const (
	maxQueued = 2048
	tries     = 5
	pause     = time.Second
	callLimit = 5 * time.Second
)

func newPublisher(address string, log *slog.Logger) *publisher {
	p := &publisher{address: address, log: log, wake: make(chan struct{}, 1)}
	go p.run()
	return p
}

// publish queues an event.
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

func (p *publisher) run() {
	for range p.wake {
		for e := p.first(); e != nil; e = p.first() {
			for n := 1; !p.send(e) && n < tries; n++ {
				time.Sleep(pause)
			}
			p.drop(e)
		}
	}
}

// send reports whether containerd has taken the event. Only run calls it.
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

func (p *publisher) first() *types.Envelope {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.queue) == 0 {
		return nil
	}
	return p.mu.queue[0]
}

func (p *publisher) drop(e *types.Envelope) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.queue) > 0 && p.mu.queue[0] == e {
		p.mu.queue = p.mu.queue[1:]
	}
}

// flush waits until all is sent, but no longer than limit.
func (p *publisher) flush(limit time.Duration) {
	for end := time.Now().Add(limit); p.first() != nil && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
	}
}
