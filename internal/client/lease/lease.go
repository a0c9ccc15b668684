package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"sampan.dev/internal/client"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Config describes a candidacy.
type Config struct {
	Door      client.Interface
	Namespace string // "kube-system" if empty
	Name      string // of the lease
	Identity  string // of this candidate, different for each process

	// Duration is how long others wait after the last renewal before they take over, Deadline how long a leader tries to
	// renew before it steps back, Retry the time between attempts. Zero means upstream's 15 s, 10 s and 2 s.
	Duration, Deadline, Retry time.Duration

	// Quiet is for a candidate that is alone while it runs: it takes the lease, so that those who look find a holder, and
	// from then on only looks twice in Deadline whether it still has it, instead of renewing every Retry; nor does it give it up
	// in the end. Its Identity must be the same at each start. Whoever looks at the lease must see that its holder lives: that is
	// what Audience is for. Without one, somebody else who stands for the lease takes it after Duration. A quiet leader loses the
	// lease to another holder only, never because it could not be read or written in time.
	Quiet    bool
	Audience *Audience // may be nil

	Log *slog.Logger
}

// errLost says that leadership was lost against the leader's will.
var errLost = errors.New("leadership lost")

// Run waits until the lease can be had, then runs lead with a context that ends when the lease is lost, renewing meanwhile.
// When it is lost and lead has returned, Run stands by and leads again once the lease is free: lead may be called many times.
// Run returns lead's error when lead ends by itself, and nil when ctx ends. The lease is given up then, so that the next leader
// need not wait.
//
// A candidate that waits only reads: it looks every Retry whether the lease has changed, since the roles that upstream
// grants to its components do not let them watch leases. It trusts its own clock alone, for how long ago a change was
// first seen.
func Run(ctx context.Context, cfg Config, lead func(ctx context.Context) error) error {
	e := newElector(cfg)
	for e.acquire(ctx) {
		e.log.Info("became leader")
		ended, lost := e.reign(ctx, lead)
		if lost != nil && ctx.Err() == nil {
			e.log.Warn("leadership lost, standing by", "error", lost)
			continue
		}
		if ctx.Err() != nil {
			ended = nil
		}
		if !e.Quiet && lost == nil {
			e.release(context.WithoutCancel(ctx))
		}
		return ended
	}
	return nil
}

// reign leads, in this goroutine, until lead ends by itself or because ctx has ended or the lease is lost.
func (e *elector) reign(ctx context.Context, lead func(ctx context.Context) error) (ended, lost error) {
	leading, stop := context.WithCancel(ctx)
	defer stop() // lead may panic
	renewing := make(chan error, 1)
	looks := e.Audience.hold(e.Namespace, e.Name) // before lead begins: from then on who looks finds a leader
	go func() {
		defer stop()
		renewing <- e.renew(leading, looks)
	}()
	ended = lead(leading)
	stop()
	return ended, <-renewing
}

// elector is one candidate's view of the lease.
type elector struct {
	Config
	log   *slog.Logger
	lease *coordinationv1.Lease // as last read or written; nil when there is none
	seen  time.Time             // when its spec was first seen
}

func newElector(cfg Config) *elector {
	if cfg.Namespace == "" {
		cfg.Namespace = metav1.NamespaceSystem
	}
	if cfg.Duration == 0 {
		cfg.Duration = 15 * time.Second
	}
	if cfg.Deadline == 0 {
		cfg.Deadline = 10 * time.Second
	}
	if cfg.Retry == 0 {
		cfg.Retry = 2 * time.Second
	}
	return &elector{Config: cfg, log: cfg.Log.With("component", "lease", "lease", cfg.Name)}
}

// acquire tries until it holds the lease; false means that ctx has ended.
func (e *elector) acquire(ctx context.Context) bool {
	for {
		held, err := e.try(ctx)
		if held {
			return true
		}
		if err != nil && ctx.Err() == nil {
			e.log.Debug("lease not taken", "error", err)
		}
		// Candidates that found the lease free together should not try again together.
		t := time.NewTimer(e.Retry + rand.N(e.Retry*12/10))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}

// renew keeps the lease until ctx ends (nil), or it is another's or, for one that is not quiet, renewing has failed for too
// long (errLost).
func (e *elector) renew(ctx context.Context, looks *looks) error {
	defer e.Audience.leave(looks)
	t := time.NewTimer(e.pace(looks))
	defer t.Stop()
	renewed := time.Now()
	for {
		var seen chan struct{}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case seen = <-looks.asked(): // somebody is about to look
		}
		attempt, cancel := context.WithDeadline(ctx, renewed.Add(e.Deadline))
		if e.Quiet {
			cancel()
			attempt, cancel = context.WithTimeout(ctx, e.Deadline)
		}
		held, err := e.keep(attempt, seen != nil || looks.watched())
		cancel()
		if seen != nil {
			close(seen)
		}
		switch {
		case held:
			renewed = time.Now()
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errTaken):
			return fmt.Errorf("%w: %s was %w", errLost, e.Name, err)
		case !e.Quiet && time.Since(renewed) >= e.Deadline:
			return fmt.Errorf("%w: %s not renewed for %v: %w", errLost, e.Name, e.Deadline, err)
		default:
			e.log.Debug("lease not renewed", "error", err)
		}
		t.Reset(e.pace(looks))
	}
}

// pace is the time until the lease is to be renewed, or looked at.
func (e *elector) pace(looks *looks) time.Duration {
	if e.Quiet && !looks.watched() {
		return e.Deadline / 2
	}
	return e.Retry
}

// keep makes sure that the lease is still ours: by renewing it, or by looking, which does where nobody sees it.
func (e *elector) keep(ctx context.Context, visible bool) (bool, error) {
	if !e.Quiet {
		return e.try(ctx)
	}
	now, err := client.Get[*coordinationv1.Lease](ctx, e.Door, client.Leases, e.Namespace, e.Name)
	switch {
	case apierrors.IsNotFound(err):
		return e.try(ctx)
	case err != nil:
		return false, err
	case deref(now.Spec.HolderIdentity) != e.Identity:
		return false, fmt.Errorf("%w by %s", errTaken, deref(now.Spec.HolderIdentity))
	case visible && time.Since(deref(now.Spec.RenewTime).Time) >= e.Retry:
		e.lease = now
		err := e.write(ctx)
		return err == nil, err
	}
	return true, nil
}

var errTaken = errors.New("taken")

// try takes or renews the lease if that may be done now.
func (e *elector) try(ctx context.Context) (bool, error) {
	if e.holds() {
		// Nobody else should have written; if somebody has, the conflict says so.
		if err := e.write(ctx); err == nil {
			return true, nil
		}
	}
	now, err := client.Get[*coordinationv1.Lease](ctx, e.Door, client.Leases, e.Namespace, e.Name)
	if apierrors.IsNotFound(err) {
		e.lease = nil
		err = e.write(ctx)
		return err == nil, err
	}
	if err != nil {
		return false, err
	}
	if e.lease == nil || !sameTerm(e.lease, now) {
		e.seen = time.Now()
	}
	e.lease = now
	if holder := deref(now.Spec.HolderIdentity); holder != "" && holder != e.Identity && time.Since(e.seen) < e.term() {
		return false, fmt.Errorf("held by %s", holder)
	}
	err = e.write(ctx)
	return err == nil, err
}

// holds reports whether the lease, as last seen, is ours and has not run out.
func (e *elector) holds() bool {
	return e.lease != nil && deref(e.lease.Spec.HolderIdentity) == e.Identity && time.Since(e.seen) < e.term()
}

// term is how long the lease as last seen is good for: its holder's promise, not ours.
func (e *elector) term() time.Duration {
	return time.Duration(deref(e.lease.Spec.LeaseDurationSeconds)) * time.Second
}

// write makes the lease ours as of now. It must still be as last seen.
func (e *elector) write(ctx context.Context) error {
	now := metav1.NowMicro()
	seconds := int32(e.Duration / time.Second)
	var out *coordinationv1.Lease
	var err error
	if e.lease == nil {
		l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: e.Name}}
		l.Spec = coordinationv1.LeaseSpec{HolderIdentity: &e.Identity, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now, LeaseTransitions: new(int32)}
		out, err = client.Create(ctx, e.Door, client.Leases, l)
	} else {
		l := e.lease.DeepCopy()
		if deref(l.Spec.HolderIdentity) != e.Identity {
			turns := deref(l.Spec.LeaseTransitions) + 1
			l.Spec.LeaseTransitions, l.Spec.AcquireTime = &turns, &now
		}
		l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds, l.Spec.RenewTime = &e.Identity, &seconds, &now
		out, err = client.Update(ctx, e.Door, client.Leases, l)
	}
	if err != nil {
		return err
	}
	e.lease, e.seen = out, time.Now()
	return nil
}

// release gives the lease up, if it is still ours.
func (e *elector) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.Deadline)
	defer cancel()
	for range 3 {
		l, err := client.Get[*coordinationv1.Lease](ctx, e.Door, client.Leases, e.Namespace, e.Name)
		if err != nil || deref(l.Spec.HolderIdentity) != e.Identity {
			return
		}
		now, none, second := metav1.NowMicro(), "", int32(1)
		l = l.DeepCopy()
		l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds = &none, &second
		l.Spec.AcquireTime, l.Spec.RenewTime = &now, &now
		if _, err = client.Update(ctx, e.Door, client.Leases, l); !apierrors.IsConflict(err) {
			if err != nil {
				e.log.Debug("lease not released", "error", err)
			}
			return
		}
	}
}

// sameTerm reports whether nobody has renewed or taken the lease between a and b.
func sameTerm(a, b *coordinationv1.Lease) bool {
	return deref(a.Spec.HolderIdentity) == deref(b.Spec.HolderIdentity) &&
		deref(a.Spec.LeaseTransitions) == deref(b.Spec.LeaseTransitions) &&
		a.Spec.RenewTime.Equal(b.Spec.RenewTime)
}

func deref[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}
