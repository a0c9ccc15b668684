package record

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// paper is a door that keeps what is written. mu guards what it keeps.
type paper struct {
	client.Writer
	mu    sync.Mutex
	wrote []string
	last  *eventsv1.Event
}

// take returns what was written since the last take.
func (p *paper) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	wrote := p.wrote
	p.wrote = nil
	return wrote
}

// newest is the last event that was created.
func (p *paper) newest() *eventsv1.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *paper) Create(_ context.Context, ref client.Ref, obj runtime.Object, _ metav1.CreateOptions) (runtime.Object, error) {
	e := obj.(*eventsv1.Event)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = e
	p.wrote = append(p.wrote, "create "+e.Reason)
	return e, nil
}

func (p *paper) Patch(_ context.Context, ref client.Ref, _ types.PatchType, body []byte, _ metav1.PatchOptions) (runtime.Object, error) {
	var n int
	if _, err := fmt.Sscanf(string(body), `{"series":{"count":%d`, &n); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrote = append(p.wrote, fmt.Sprintf("series of %d", n))
	return nil, nil
}

// A repetition begins a series, further ones are counted and written when it has been quiet, and nothing wakes the recorder
// while no count is open.
func TestSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := &paper{}
		s := NewSeries(door, "default-scheduler", "host", slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }() //nolint:errcheck // nil
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: "u"}}
		step := func(what, want string) {
			t.Helper()
			synctest.Wait()
			if got := strings.Join(door.take(), ", "); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		fail := func(note string) {
			s.Event(pod, corev1.EventTypeWarning, "FailedScheduling", "Scheduling", note)
			synctest.Wait()
		}
		fail("first")
		e := door.newest()
		if e.EventTime.IsZero() || e.Action != "Scheduling" || e.ReportingController != "default-scheduler" || e.ReportingInstance != "default-scheduler-host" ||
			e.Regarding.Name != "p" || e.Regarding.Kind != "Pod" || e.Note != "first" || e.DeprecatedCount != 0 || e.DeprecatedSource.Component != "" || e.Series != nil {
			t.Errorf("%+v", e)
		}
		step("first", "create FailedScheduling")
		fail("second")
		step("second", "series of 2")
		fail("third")
		fail("fourth")
		step("more", "")
		time.Sleep(7 * time.Minute)
		step("quiet", "series of 4")
		fail("afresh")
		step("afresh", "create FailedScheduling")
		s.Event(pod, corev1.EventTypeNormal, "Scheduled", "Binding", strings.Repeat("é", 1000))
		step("another reason", "create Scheduled")
		if note := door.newest().Note; len(note) > noteMost || !strings.HasSuffix(note, "é ...") {
			t.Errorf("note of %d bytes", len(note))
		}
		other := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "q", UID: "v"}}
		s.Related(pod, other, corev1.EventTypeNormal, "Scheduled", "Binding", "for another")
		step("another object", "create Scheduled")
		if r := door.newest().Related; r == nil || r.Name != "q" || r.Kind != "Pod" || r.UID != "v" {
			t.Errorf("related: %+v", r)
		}
		fail("x")
		fail("y")
		door.take()
		cancel()
		<-done
		step("end", "series of 3")
	})
}

func TestSeriesBookIsBounded(t *testing.T) {
	b := newSeriesBook()
	at := time.Unix(1e9, 0)
	for i := range 3 * remembered {
		for range 3 {
			b.take(&eventsv1.Event{EventTime: metav1.NewMicroTime(at), Regarding: corev1.ObjectReference{Name: fmt.Sprint(i)}})
		}
		if len(b.runs) > remembered || b.counting > len(b.runs) || b.counting < 0 {
			t.Fatalf("%d runs, %d counting", len(b.runs), b.counting)
		}
	}
}
