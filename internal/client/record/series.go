package record

import (
	"context"
	"log/slog"
	"time"
	"unicode/utf8"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	noteMost    = 1024            // characters of a note (events.k8s.io validation)
	seriesQuiet = 6 * time.Minute // silence after which a series has ended, as in client-go's tools/events
)

// Series takes events in the form of events.k8s.io: with the time of the event, the action that was tried, and repetitions as a
// series instead of a count. Upstream's scheduler records in this form, its other components in that of Recorder.
//
// An event is the same as an earlier one when type, action, reason, reporter and objects are: its note does not count. The second
// one begins the series, further ones are counted here and written when the series has been quiet for six minutes.
type Series struct {
	door       client.Writer
	controller string
	instance   string
	log        *slog.Logger
	queue      chan *eventsv1.Event
	stamps     stamps
}

// NewSeries makes a recorder for a component ("default-scheduler"); host is the machine it runs on. Nothing is written until
// Run.
func NewSeries(door client.Writer, component, host string, log *slog.Logger) *Series {
	return &Series{door: door, controller: component, instance: component + "-" + host, log: log, queue: make(chan *eventsv1.Event, queueLength)}
}

// Event records that action was tried on obj and what came of it. kind is corev1.EventTypeNormal or EventTypeWarning. Events
// beyond a full queue are dropped.
func (s *Series) Event(obj api.Object, kind, reason, action, note string) {
	s.Related(obj, nil, kind, reason, action, note)
}

// Related is Event with another object that took part, nil for none: who a pod was evicted for.
func (s *Series) Related(obj, other api.Object, kind, reason, action, note string) {
	ref, err := Ref(obj)
	if err != nil {
		s.log.Error("event about an unknown type", "err", err, "reason", reason)
		return
	}
	now := metav1.NowMicro()
	namespace := ref.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	e := &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Name: s.stamps.name(ref.Name, now.Time), Namespace: namespace},
		EventTime:           now,
		ReportingController: s.controller,
		ReportingInstance:   s.instance,
		Action:              action,
		Reason:              reason,
		Regarding:           ref,
		Note:                shorten(note),
		Type:                kind,
	}
	if other != nil {
		if ref, err := Ref(other); err == nil {
			e.Related = &ref
		}
	}
	select {
	case s.queue <- e:
	default:
	}
}

// shorten cuts a note to what an event may hold.
func shorten(note string) string {
	const end = " ..."
	if len(note) <= noteMost {
		return note
	}
	cut := noteMost - len(end)
	for cut > 0 && !utf8.RuneStart(note[cut]) {
		cut--
	}
	return note[:cut] + end
}

// Run writes events until ctx ends, then what is queued by then and the counts that are not written, for at most a second. It
// returns nil.
func (s *Series) Run(ctx context.Context) error {
	open := newSeriesBook()
	quiet := time.NewTimer(seriesQuiet)
	defer quiet.Stop()
	quiet.Stop() // nothing is open, so nothing wakes an idle cluster
	armed := false
	for {
		select {
		case e := <-s.queue:
			s.record(ctx, open, e, writeTries)
		case <-quiet.C:
			armed = false
			for _, e := range open.ended(time.Now()) {
				s.put(ctx, e, true, writeTries)
			}
		case <-ctx.Done():
			s.drain(context.WithoutCancel(ctx), open)
			return nil
		}
		if !armed && open.counting > 0 {
			armed = true
			quiet.Reset(seriesQuiet)
		}
	}
}

func (s *Series) drain(ctx context.Context, open *seriesBook) {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for ctx.Err() == nil {
		select {
		case e := <-s.queue:
			s.record(ctx, open, e, 1)
		default:
			for _, e := range open.ended(time.Now().Add(2 * seriesQuiet)) {
				s.put(ctx, e, true, 1)
			}
			return
		}
	}
}

func (s *Series) record(ctx context.Context, open *seriesBook, e *eventsv1.Event, tries int) {
	if e, again := open.take(e); e != nil {
		s.put(ctx, e, again, tries)
	}
}

// put writes e, as a patch of its series if it is there already, and holds the queue while the hub cannot be reached.
func (s *Series) put(ctx context.Context, e *eventsv1.Event, again bool, tries int) {
	ref := client.Ref{Resource: client.SeriesEvents, Namespace: e.Namespace, Name: e.Name}
	for try := 1; ; try++ {
		var err error
		if again {
			_, err = client.MergePatch(ctx, s.door, ref, map[string]any{"series": e.Series})
		}
		if !again || errors.IsNotFound(err) {
			_, err = client.Create(ctx, s.door, client.SeriesEvents, e)
		}
		if err == nil {
			return
		}
		if final(err) || try == tries {
			s.log.Log(ctx, levelOf(err), "event not written", "err", err, "reason", e.Reason, "object", e.Regarding.Name)
			return
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return
		}
	}
}

// seriesBook knows the events that may come again. It is a state machine without I/O.
type seriesBook struct {
	runs     map[string]*run
	counting int // runs with a count that is not written
}

// run is an event and its repetitions.
type run struct {
	event   *eventsv1.Event // as last written
	last    metav1.MicroTime
	count   int32 // 1 for an event that came once
	pending bool  // count and last are ahead of what is written
}

func newSeriesBook() *seriesBook { return &seriesBook{runs: map[string]*run{}} }

// take returns what is to be written because of e, and whether it is there already; nil for a further event of a series.
func (b *seriesBook) take(e *eventsv1.Event) (*eventsv1.Event, bool) {
	key := seriesKey(e)
	r := b.runs[key]
	if r == nil || e.EventTime.Sub(r.last.Time) > seriesQuiet {
		b.forget(key)
		b.makeRoom(e.EventTime.Time)
		b.runs[key] = &run{event: e, last: e.EventTime, count: 1}
		return e, false
	}
	r.count++
	r.last = e.EventTime
	if r.count == 2 {
		return r.asSeries(), true
	}
	if !r.pending {
		r.pending = true
		b.counting++
	}
	return nil, false
}

// makeRoom keeps the book bounded: what has ended goes, and all if that is not enough. Forgotten ones begin anew.
func (b *seriesBook) makeRoom(now time.Time) {
	if len(b.runs) < remembered {
		return
	}
	for key, r := range b.runs {
		if now.Sub(r.last.Time) > seriesQuiet {
			b.forget(key)
		}
	}
	if len(b.runs) >= remembered {
		b.runs, b.counting = map[string]*run{}, 0
	}
}

func (b *seriesBook) forget(key string) {
	if r := b.runs[key]; r != nil && r.pending {
		b.counting--
	}
	delete(b.runs, key)
}

// ended returns the series with unwritten counts that have been quiet, which are forgotten then.
func (b *seriesBook) ended(now time.Time) []*eventsv1.Event {
	var out []*eventsv1.Event
	for key, r := range b.runs {
		if now.Sub(r.last.Time) < seriesQuiet {
			continue
		}
		pending := r.pending
		b.forget(key)
		if pending {
			out = append(out, r.asSeries())
		}
	}
	return out
}

func (r *run) asSeries() *eventsv1.Event {
	e := r.event.DeepCopy()
	e.Series = &eventsv1.EventSeries{Count: r.count, LastObservedTime: r.last}
	r.event, r.pending = e, false
	return e
}

func seriesKey(e *eventsv1.Event) string {
	o, other := &e.Regarding, e.Related
	if other == nil {
		other = &corev1.ObjectReference{}
	}
	return join(e.Type, e.Action, e.Reason, e.ReportingController, e.ReportingInstance, o.Kind, o.Namespace, o.Name, string(o.UID), o.APIVersion, o.FieldPath,
		other.Kind, other.Namespace, other.Name, string(other.UID))
}
