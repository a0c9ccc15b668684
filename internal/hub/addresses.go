package hub

import (
	"context"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client/record"

	corev1 "k8s.io/api/core/v1"
)

// repairAddresses makes IPAddress objects what the Services there are say, once the hub is ready; it ends when there is nothing more to
// put right. What it finds wrong it tells by events.
func (h *Hub) repairAddresses(ctx context.Context) error {
	if h.guard.services == nil || !h.cfg.Bootstrap {
		return nil
	}
	select {
	case <-h.ready:
	case <-ctx.Done():
		return nil
	}
	events := record.New(h.own, "ipallocator-repair-controller", "", h.log)
	recording, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		events.Run(recording) //nolint:errcheck // it ends with its context only
	}()
	h.guard.services.Repair(ctx, func(of api.Object, reason, message string) {
		h.log.Warn("a cluster address was put right", "reason", reason, "message", message)
		events.Event(of, corev1.EventTypeWarning, reason, message)
	})
	end()
	<-ended
	return nil
}
