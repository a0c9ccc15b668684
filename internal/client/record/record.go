package record

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	queueLength  = 1000             // as upstream's broadcaster; what comes beyond it is dropped
	writeTries   = 12               // tries while the hub cannot be reached
	retryPause   = 10 * time.Second // between those
	drainTimeout = time.Second      // for what is still queued when Run is told to end
)

// Recorder takes events of one component.
type Recorder struct {
	door    client.Writer
	source  corev1.EventSource
	log     *slog.Logger
	queue   chan *corev1.Event
	dropped atomic.Int64
	stamps  stamps
}

// New makes a recorder for a component ("replicaset-controller", "kubelet"); host is the node it runs on, or "".
// Nothing is written until Run.
func New(door client.Writer, component, host string, log *slog.Logger) *Recorder {
	return &Recorder{
		door:   door,
		source: corev1.EventSource{Component: component, Host: host},
		log:    log,
		queue:  make(chan *corev1.Event, queueLength),
	}
}

// Event records that something happened to obj. kind is corev1.EventTypeNormal or EventTypeWarning.
func (r *Recorder) Event(obj api.Object, kind, reason, message string) {
	ref, err := Ref(obj)
	if err != nil {
		r.log.Error("event about an unknown type", "err", err, "reason", reason)
		return
	}
	r.EventRef(ref, kind, reason, message)
}

// Eventf is Event with a format.
func (r *Recorder) Eventf(obj api.Object, kind, reason, format string, args ...any) {
	r.Event(obj, kind, reason, fmt.Sprintf(format, args...))
}

// EventRef is Event for what is known by a reference only, or by a part of an object (ref.FieldPath).
func (r *Recorder) EventRef(ref corev1.ObjectReference, kind, reason, message string) {
	r.enqueue(r.makeEvent(ref, nil, kind, reason, message))
}

// AnnotatedEvent is EventRef with annotations on the event.
func (r *Recorder) AnnotatedEvent(ref corev1.ObjectReference, annotations map[string]string, kind, reason, message string) {
	r.enqueue(r.makeEvent(ref, annotations, kind, reason, message))
}

func (r *Recorder) enqueue(e *corev1.Event) {
	select {
	case r.queue <- e:
	default:
		r.dropped.Add(1)
	}
}

// Dropped counts the events that found the queue full.
func (r *Recorder) Dropped() int64 { return r.dropped.Load() }

// Ref returns the reference that an event about obj carries.
func Ref(obj api.Object) (corev1.ObjectReference, error) {
	gvk := obj.GetObjectKind().GroupVersionKind()
	if gvk.Empty() {
		var err error
		if gvk, err = api.GVKOf(obj); err != nil {
			return corev1.ObjectReference{}, fmt.Errorf("reference to %T: %w", obj, err)
		}
	}
	return corev1.ObjectReference{
		Kind:            gvk.Kind,
		APIVersion:      gvk.GroupVersion().String(),
		Namespace:       obj.GetNamespace(),
		Name:            obj.GetName(),
		UID:             obj.GetUID(),
		ResourceVersion: obj.GetResourceVersion(),
	}, nil
}

func (r *Recorder) makeEvent(ref corev1.ObjectReference, annotations map[string]string, kind, reason, message string) *corev1.Event {
	now := metav1.Now()
	namespace := ref.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Name:        r.stamps.name(ref.Name, now.Time),
			Namespace:   namespace,
			Annotations: annotations,
		},
		InvolvedObject:      ref,
		Type:                kind,
		Reason:              reason,
		Message:             message,
		FirstTimestamp:      now,
		LastTimestamp:       now,
		Count:               1,
		Source:              r.source,
		ReportingController: r.source.Component,
		ReportingInstance:   r.source.Host,
	}
}

// stamps makes the names of events.
type stamps struct{ last atomic.Int64 } // the newest nanosecond used in a name

// name is that of an event about object: with now in nanoseconds, or one more than the last: names must differ also where the
// clock stands still (virtual time, coarse clocks).
func (s *stamps) name(object string, now time.Time) string {
	for {
		last := s.last.Load()
		n := max(now.UnixNano(), last+1)
		if s.last.CompareAndSwap(last, n) {
			return fmt.Sprintf("%s.%x", object, n)
		}
	}
}

// Run writes events until ctx ends, then what is queued by then, for at most a second. It returns nil.
func (r *Recorder) Run(ctx context.Context) error {
	c := newCorrelator()
	for {
		select {
		case e := <-r.queue:
			r.record(ctx, c, e, writeTries)
		case <-ctx.Done():
			r.drain(context.WithoutCancel(ctx), c)
			return nil
		}
	}
}

func (r *Recorder) drain(ctx context.Context, c *correlator) {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for ctx.Err() == nil {
		select {
		case e := <-r.queue:
			r.record(ctx, c, e, 1)
		default:
			return
		}
	}
}

// record correlates and writes one event, and holds the queue for so many tries while the hub cannot be reached.
func (r *Recorder) record(ctx context.Context, c *correlator, e *corev1.Event, tries int) {
	plan := c.correlate(e, time.Now())
	if plan.skip {
		return
	}
	for try := 1; ; try++ {
		err := r.write(ctx, plan)
		if err == nil {
			c.written(plan)
			return
		}
		if final(err) || try == tries {
			r.log.Log(ctx, levelOf(err), "event not written", "err", err, "reason", e.Reason, "object", e.InvolvedObject.Name)
			return
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return
		}
	}
}

// final reports whether the hub has spoken: a malformed event stays malformed, and a terminating namespace takes none.
func final(err error) bool { return errors.ReasonForError(err) != metav1.StatusReasonUnknown }

// levelOf is how loudly a lost event is told of.
func levelOf(err error) slog.Level {
	if errors.IsAlreadyExists(err) || errors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

func (r *Recorder) write(ctx context.Context, plan plan) error {
	e := plan.event
	ref := client.Ref{Resource: client.Events, Namespace: e.Namespace, Name: e.Name}
	if plan.repeat {
		_, err := client.MergePatch(ctx, r.door, ref, map[string]any{
			"count": e.Count, "lastTimestamp": e.LastTimestamp, "message": e.Message,
		})
		if !errors.IsNotFound(err) {
			return err
		}
		// It has expired since; what follows is its successor under the same name.
	}
	_, err := client.Create(ctx, r.door, client.Events, e)
	return err
}
