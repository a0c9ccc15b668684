package probe

import (
	"context"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Kind of a probe, as events name it.
type Kind string

// Kinds.
const (
	Liveness  Kind = "Liveness"
	Readiness Kind = "Readiness"
	Startup   Kind = "Startup"
)

// retries is how often a probe that could not be made is tried again at once.
const retries = 3

// Worker probes one running container for one purpose until ctx ends, or until it has nothing more to find out: a
// liveness probe that has failed for good, a startup probe that has come to an end.
type Worker struct {
	Kind    Kind
	Probe   *corev1.Probe
	Target  Target
	Started time.Time // of the container
	// Late says that the container ran before this process did: the first probe is then put off by a random part of the
	// period, so that a restarted node does not probe everything at once.
	Late bool
	// Report is called when a threshold is reached, also with the same result again.
	Report func(Result)
	// Count is called with every outcome; nil: nobody counts.
	Count func(Result)
	// Event is called with the text and reason of what people should see.
	Event func(reason, message string)
	// Rand draws from [0,1); nil means math/rand.
	Rand func() float64
}

// Run probes. It uses one timer.
func (w *Worker) Run(ctx context.Context) {
	period := time.Duration(max(1, w.Probe.PeriodSeconds)) * time.Second
	wait := time.Until(w.Started.Add(time.Duration(w.Probe.InitialDelaySeconds) * time.Second))
	if w.Late {
		draw := w.Rand
		if draw == nil {
			draw = rand.Float64
		}
		wait = max(wait, time.Duration(draw()*float64(period)))
	}
	t := time.NewTimer(max(0, wait))
	defer t.Stop()
	var last Result
	run := int32(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		begin := time.Now()
		if r, ok := w.once(ctx); ok && ctx.Err() == nil {
			if w.Count != nil {
				w.Count(r)
			}
			if r != last {
				last, run = r, 0
			}
			run++
			if r == Failure && run >= max(1, w.Probe.FailureThreshold) || r == Success && run >= max(1, w.Probe.SuccessThreshold) {
				w.Report(r)
				if w.Kind == Startup || w.Kind == Liveness && r == Failure {
					return
				}
			}
		}
		// From the beginning of the last one, as a ticker does; a slow probe drops ticks rather than piling them up.
		next := period - time.Since(begin)
		for next <= 0 {
			next += period
		}
		t.Reset(next)
	}
}

// once probes and tells of failures. ok is false when the outcome says nothing of the container.
func (w *Worker) once(ctx context.Context) (Result, bool) {
	var r Result
	var output string
	var err error
	for range retries {
		if r, output, err = Do(ctx, w.Probe, w.Target); err == nil || ctx.Err() != nil {
			break
		}
	}
	switch {
	case ctx.Err() != nil:
		return Unknown, false
	case err != nil:
		w.Event("Unhealthy", string(w.Kind)+" probe errored and resulted in "+r.String()+" state: "+err.Error())
		return Unknown, false
	case r == Warning:
		w.Event("ProbeWarning", string(w.Kind)+" probe warning: "+output)
		return Success, true
	case r == Failure:
		w.Event("Unhealthy", string(w.Kind)+" probe failed: "+output)
	case r == Unknown:
		r = Failure
	}
	return r, true
}
