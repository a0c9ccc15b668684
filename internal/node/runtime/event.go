package runtime

import (
	"context"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"k8s.io/apimachinery/pkg/types"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// relistPeriod is how often pods are listed where the runtime has no event stream (upstream's generic PLEG: 1 s).
const relistPeriod = time.Second

// Events implements Interface. A runtime without GetContainerEvents is listed once a second instead; that is the one
// place where the node polls.
func (c *CRI) Events(ctx context.Context, fn func(Event)) error {
	for {
		err := c.stream(ctx, fn)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if code(err) == codes.Unimplemented {
			c.log.Info("runtime has no event stream, listing instead")
			return c.relist(ctx, fn)
		}
		c.log.Debug("runtime event stream ended", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (c *CRI) stream(ctx context.Context, fn func(Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st, err := c.rt.GetContainerEvents(ctx, &cri.GetEventsRequest{})
	if err != nil {
		return err
	}
	fn(Event{}) // what happened before the stream stood is unknown
	for {
		e, err := st.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		fn(Event{UID: types.UID(eventUID(e))})
	}
}

func eventUID(e *cri.ContainerEventResponse) string {
	if uid := e.GetPodSandboxStatus().GetMetadata().GetUid(); uid != "" {
		return uid
	}
	for _, s := range e.GetContainersStatuses() {
		if uid := s.GetLabels()[LabelPodUID]; uid != "" {
			return uid
		}
	}
	return ""
}

// relist compares listings and reports the pods that differ.
func (c *CRI) relist(ctx context.Context, fn func(Event)) error {
	var last map[types.UID]string
	t := time.NewTicker(relistPeriod)
	defer t.Stop()
	for {
		if pods, err := c.List(ctx); err == nil {
			now := map[types.UID]string{}
			for _, p := range pods {
				now[p.UID] = p.Fingerprint()
			}
			for uid, f := range now {
				if last[uid] != f {
					fn(Event{UID: uid})
				}
			}
			for uid := range last {
				if _, ok := now[uid]; !ok {
					fn(Event{UID: uid})
				}
			}
			last = now
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// Fingerprint differs when a sandbox or container of a listed pod has come, gone or changed its state.
func (p *Pod) Fingerprint() string {
	var b []byte
	for _, s := range p.Sandboxes {
		b = append(b, s.ID...)
		if s.Ready {
			b = append(b, '+')
		}
	}
	for _, c := range p.Containers {
		b = append(append(b, c.ID...), byte('0'+c.State))
	}
	return string(b)
}
