package events

import (
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/randfill"
)

// TestView: the two forms hold the same; nothing is lost on the way and back.
func TestView(t *testing.T) {
	fill := randfill.NewWithSeed(1).NilChance(0)
	for range 20 {
		e := &corev1.Event{}
		fill.Fill(e)
		e.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Event"))
		view := Events().View
		out, err := view.To(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := view.From(t.Context(), out); err != nil || !reflect.DeepEqual(back, e) {
			t.Fatalf("got  %+v, %v\nwant %+v", back, err, e)
		}
	}
}

func TestValidate(t *testing.T) {
	good := func() *eventsv1.Event {
		return &eventsv1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: "n"}, EventTime: metav1.NewMicroTime(time.Unix(1, 0)), Type: "Normal",
			Reason: "r", Action: "a", ReportingController: "x.y/z", ReportingInstance: "i", Regarding: corev1.ObjectReference{Namespace: "n"},
		}
	}
	for _, c := range []struct {
		name   string
		change func(*eventsv1.Event)
		want   string
	}{
		{"fine", func(*eventsv1.Event) {}, ``},
		{"no time", func(e *eventsv1.Event) { e.EventTime = metav1.MicroTime{} }, `eventTime: Required value`},
		{"type", func(e *eventsv1.Event) { e.Type = "Odd" }, `type: Invalid value: "": has invalid value: Odd`},
		{"count", func(e *eventsv1.Event) { e.DeprecatedCount = 1 }, `count: Invalid value: "": needs to be unset`},
		{"series", func(e *eventsv1.Event) { e.Series = &eventsv1.EventSeries{Count: 1} }, `[series.count: Invalid value: "": should be at least 2, series.lastObservedTime: Required value]`},
		{"controller", func(e *eventsv1.Event) { e.ReportingController = "" }, `reportingController: Required value`},
		{"note", func(e *eventsv1.Event) { e.Note = strings.Repeat("x", 1025) }, `message: Invalid value: "": can have at most 1024 characters`},
	} {
		e := good()
		c.change(e)
		got := ""
		if errs := Events().Validate(e); len(errs) > 0 {
			got = errs.ToAggregate().Error()
		}
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s", c.name, got)
		}
	}
	e := good()
	e.Series = &eventsv1.EventSeries{Count: 2, LastObservedTime: metav1.NewMicroTime(time.Unix(2, 0))}
	e.EventTime = metav1.NewMicroTime(time.Unix(1, 1))
	if errs := Events().ValidateUpdate(e, good()); len(errs) != 0 {
		t.Errorf("a series may change, nanoseconds do not count: %v", errs)
	}
	e.Note = "other"
	if errs := Events().ValidateUpdate(e, good()); len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), "message: Invalid value") {
		t.Errorf("changed note: %v", errs)
	}
}
