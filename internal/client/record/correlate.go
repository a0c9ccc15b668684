package record

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/lru"
)

// Limits of correlation, as in client-go's tools/record.
const (
	remembered      = 4096             // keys kept of each sort
	similarMax      = 10               // different messages of one reason before they are combined
	similarInterval = 10 * time.Minute // silence after which combining starts afresh
	spamBurst       = 25               // events about one object at once
	spamRefill      = 5 * time.Minute  // per further event
)

// correlator turns a stream of events into fewer writes. It is a state machine without I/O.
type correlator struct {
	spam    *lru.Cache // spam key -> *bucket
	similar *lru.Cache // similar key -> *messages
	seen    *lru.Cache // event key -> sighting
}

type bucket struct {
	tokens float64
	at     time.Time
}

type messages struct {
	set map[string]struct{}
	at  time.Time
}

type sighting struct {
	name  string
	first metav1.Time
	count int32
}

// plan is what to write: event as a new object, or, if repeat, its count, time and message into the one of that name.
type plan struct {
	event  *corev1.Event
	key    string
	repeat bool
	skip   bool
}

func newCorrelator() *correlator {
	return &correlator{spam: lru.New(remembered), similar: lru.New(remembered), seen: lru.New(remembered)}
}

// correlate decides about e, which it may change, at time now.
func (c *correlator) correlate(e *corev1.Event, now time.Time) plan {
	e, key := c.combine(e, now)
	p := plan{event: e, key: key}
	if v, ok := c.seen.Get(key); ok {
		last := v.(sighting)
		e.Name, e.FirstTimestamp, e.Count = last.name, last.first, last.count+1
		p.repeat = true
	}
	if !c.allowed(spamKey(e), now) {
		p.skip = true
		// What is not written is counted all the same, so that the next write tells the truth.
		if p.repeat {
			c.written(p)
		}
	}
	return p
}

// written remembers that plan was carried out.
func (c *correlator) written(p plan) {
	c.seen.Add(p.key, sighting{name: p.event.Name, first: p.event.FirstTimestamp, count: p.event.Count})
}

// combine returns e and its key, or, when e is the tenth or later of a kind that differs only in its message, the event
// that stands for all of those.
func (c *correlator) combine(e *corev1.Event, now time.Time) (*corev1.Event, string) {
	key := similarKey(e)
	m := &messages{set: map[string]struct{}{}}
	if v, ok := c.similar.Get(key); ok && now.Sub(v.(*messages).at) <= similarInterval {
		m = v.(*messages)
	}
	m.at = now
	c.similar.Add(key, m)
	if _, known := m.set[e.Message]; !known && len(m.set) < similarMax {
		m.set[e.Message] = struct{}{}
	}
	if len(m.set) < similarMax {
		return e, eventKey(e)
	}
	// Keep room for one, so that the count of different messages stays at the limit and old ones may come again.
	for k := range m.set {
		delete(m.set, k)
		break
	}
	out := *e
	out.Message = "(combined from similar events): " + e.Message
	out.FirstTimestamp, out.LastTimestamp, out.Count = metav1.NewTime(now), metav1.NewTime(now), 1
	return &out, key
}

func (c *correlator) allowed(key string, now time.Time) bool {
	b := &bucket{tokens: spamBurst, at: now}
	if v, ok := c.spam.Get(key); ok {
		b = v.(*bucket)
	}
	b.tokens = min(spamBurst, b.tokens+now.Sub(b.at).Seconds()/spamRefill.Seconds())
	b.at = now
	c.spam.Add(key, b)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

func spamKey(e *corev1.Event) string {
	o := &e.InvolvedObject
	return join(e.Source.Component, e.Source.Host, o.Kind, o.Namespace, o.Name, string(o.UID), o.APIVersion, e.Type)
}

func similarKey(e *corev1.Event) string { return spamKey(e) + "\x00" + e.Reason }

func eventKey(e *corev1.Event) string {
	return fmt.Sprintf("%s\x00%s\x00%s", similarKey(e), e.InvolvedObject.FieldPath, e.Message)
}

func join(parts ...string) string { return strings.Join(parts, "\x00") }
