package admit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sampan.dev/internal/api/quota"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// resourceQuota charges the ResourceQuotas of a namespace for what is created there, and refuses what they have no room for. What a
// write is charged is stored in the quotas' status before the object is, by compare-and-swap, so that writers here and at other API
// servers together never take more than there is. What was charged for a write that failed afterwards, and what has been deleted, the
// resourcequota-controller gives back when it counts anew.
//
// Requests of one namespace that come while another is being charged wait and are charged together, by one write of each quota. mu
// guards who waits; it is held neither while quotas are read nor while they are written. In a namespace without quotas a request costs
// one look into the cache.
type resourceQuota struct {
	look    lookup
	door    client.Interface
	limited []quota.Limited
	mu      struct {
		sync.Mutex
		lines map[string]*quotaLine // by namespace: those where a request is being charged
	}
}

// quotaLine is the requests of one namespace that wait to be charged.
type quotaLine struct{ waiting []*charge }

// charge is one request. Who closes done has set err before; lead tells the request that it charges those that wait, itself among
// them.
type charge struct {
	a    *Attributes
	c    quota.Change
	err  error
	open bool // not decided yet
	done chan struct{}
	lead chan struct{}
}

// chargeTimeout is how long a request waits to be charged, and chargeTries how often a charge is tried against other writers. Both are
// upstream's.
const (
	chargeTimeout = 10 * time.Second
	chargeTries   = 4
)

func newResourceQuota(look lookup, door client.Interface, limited []quota.Limited) *resourceQuota {
	q := &resourceQuota{look: look, door: door, limited: limited}
	q.mu.lines = map[string]*quotaLine{}
	return q
}

func (*resourceQuota) Name() string { return "ResourceQuota" }

func (q *resourceQuota) Validate(ctx context.Context, a *Attributes) error {
	if a.Operation != Create && a.Operation != Update || a.Namespace == "" || a.Kind.OwnNamespace || a.Kind.Virtual || a.Kind.Resource == "events" {
		return nil
	}
	c := quota.Change{Subresource: a.Subresource, New: a.Object}
	if a.Operation == Update {
		c.Old = a.Old
	}
	if a.Object == nil || !quota.Of(a.Kind.GR()).Concerns(c) {
		return nil
	}
	if len(q.limited) == 0 {
		if have, err := q.quotas(ctx, a.Namespace, "0"); err == nil && len(have) == 0 {
			return nil
		}
	}
	return q.wait(ctx, &charge{a: a, c: c, open: true, done: make(chan struct{}), lead: make(chan struct{})})
}

// wait has a request charged, with others or before them.
func (q *resourceQuota) wait(ctx context.Context, c *charge) error {
	if !q.join(c) {
		timer := time.NewTimer(chargeTimeout)
		defer timer.Stop()
		select {
		case <-c.done:
			return c.err
		case <-c.lead:
		case <-timer.C:
			return q.leave(c, apierrors.NewInternalError(errors.New("resource quota evaluation timed out")))
		case <-ctx.Done():
			return q.leave(c, apierrors.NewTimeoutError(ctx.Err().Error(), 0))
		}
	}
	q.serve(ctx, c)
	<-c.done
	return c.err
}

// join puts a request into the line of its namespace, and reports whether it is the one to charge those in it.
func (q *resourceQuota) join(c *charge) (leads bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.mu.lines[c.a.Namespace]
	if l == nil {
		l = &quotaLine{}
		q.mu.lines[c.a.Namespace] = l
		leads = true
	}
	l.waiting = append(l.waiting, c)
	return leads
}

// leave takes a request out of the line that gave up; it is answered if it was decided meanwhile, and leads on where it was told to.
func (q *resourceQuota) leave(c *charge, err error) error {
	q.mu.Lock()
	l := q.mu.lines[c.a.Namespace]
	for i := range l.waitingOr() {
		if l.waiting[i] == c {
			l.waiting = append(l.waiting[:i:i], l.waiting[i+1:]...)
			q.mu.Unlock()
			select {
			case <-c.lead:
				q.next(c.a.Namespace)
			default:
			}
			return err
		}
	}
	q.mu.Unlock()
	<-c.done // it is being charged
	return c.err
}

func (l *quotaLine) waitingOr() []*charge {
	if l == nil {
		return nil
	}
	return l.waiting
}

// serve charges all who wait in the line that leader is in, and lets the next lead.
func (q *resourceQuota) serve(ctx context.Context, leader *charge) {
	namespace := leader.a.Namespace
	q.mu.Lock()
	l := q.mu.lines[namespace]
	all := l.waiting
	l.waiting = nil
	q.mu.Unlock()
	defer q.next(namespace)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), chargeTimeout) // they are others' requests too
	defer cancel()
	defer func() {
		for _, c := range all {
			close(c.done)
		}
	}()
	q.charge(ctx, namespace, all)
}

// next lets the first who waits lead, or ends the line.
func (q *resourceQuota) next(namespace string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.mu.lines[namespace]; len(l.waiting) > 0 {
		close(l.waiting[0].lead)
		return
	}
	delete(q.mu.lines, namespace)
}

// charge decides on requests of one namespace together. Each is held against the quotas as those before it leave them. A quota that
// somebody else has written meanwhile is read again, and those who are not decided yet are held against it again.
func (q *resourceQuota) charge(ctx context.Context, namespace string, all []*charge) {
	var again map[string]bool // quotas that could not be written; nil at first, for all there are
	for try := 1; ; try++ {
		have, err := q.quotas(ctx, namespace, "")
		if err != nil {
			decide(all, fmt.Errorf("error resolving quota: %w", err))
			return
		}
		running := make([]*corev1.ResourceQuota, 0, len(have))
		for _, h := range have {
			if again == nil || again[h.Name] {
				running = append(running, h)
			}
		}
		again = q.write(ctx, q.hold(running, all), &err)
		if len(again) == 0 || try == chargeTries {
			decide(all, err)
			return
		}
	}
}

// decide answers those who are not decided yet.
func decide(all []*charge, err error) {
	for _, c := range all {
		if c.open {
			c.open, c.err = false, err
		}
	}
}

// hold holds requests against quotas, and returns those quotas of which more is in use then. Those that only wait for that to be
// written stay open.
func (q *resourceQuota) hold(quotas []*corev1.ResourceQuota, all []*charge) []*corev1.ResourceQuota {
	changed := make([]bool, len(quotas))
	for _, c := range all {
		if !c.open {
			continue
		}
		used, err := quota.Rules{Quotas: quotas, Limited: q.limited}.Check(c.a.Kind.GR(), c.c)
		var refusal quota.Refusal
		switch {
		case errors.As(err, &refusal):
			c.open, c.err = false, forbidden(c.a, "%w", err)
			continue
		case err != nil:
			c.open, c.err = false, err
			continue
		case c.a.DryRun:
			c.open = false
			continue
		}
		traces := false
		for i, u := range used {
			if u == nil {
				continue
			}
			if !changed[i] {
				quotas[i], changed[i] = quotas[i].DeepCopy(), true
			}
			quotas[i].Status.Used, traces = u, true
		}
		c.open = traces
	}
	var out []*corev1.ResourceQuota
	for i := range quotas {
		if changed[i] {
			out = append(out, quotas[i])
		}
	}
	return out
}

// write stores what is in use of quotas, and returns the names of those that could not be written, with the last error.
func (q *resourceQuota) write(ctx context.Context, quotas []*corev1.ResourceQuota, last *error) map[string]bool {
	var failed map[string]bool
	for _, rq := range quotas {
		if _, err := client.UpdateStatus(ctx, q.door, client.ResourceQuotas, rq); err != nil {
			if failed == nil {
				failed = map[string]bool{}
			}
			failed[rq.Name], *last = true, err
		}
	}
	return failed
}

// quotas are those of a namespace: as the cache has them ("0"), or the newest ("").
func (q *resourceQuota) quotas(ctx context.Context, namespace, revision string) ([]*corev1.ResourceQuota, error) {
	return client.ListAll[*corev1.ResourceQuota](ctx, q.look.door, client.ResourceQuotas, namespace, metav1.ListOptions{ResourceVersion: revision})
}
