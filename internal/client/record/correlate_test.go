package record

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func event(name, reason, message string) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: name},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "ns", Name: "p", UID: "1"},
		Type:           "Normal", Reason: reason, Message: message, Count: 1,
	}
}

func TestEqualEventsAreCounted(t *testing.T) {
	c, now := newCorrelator(), time.Now()
	for i := 1; i <= 5; i++ {
		p := c.correlate(event(fmt.Sprint("e", i), "Pulled", "same"), now)
		if p.skip || p.repeat != (i > 1) || p.event.Name != "e1" || p.event.Count != int32(i) {
			t.Fatalf("%d: %+v", i, p)
		}
		c.written(p)
	}
	if p := c.correlate(event("f", "Pulled", "other"), now); p.repeat {
		t.Fatal("another message was counted as the same event")
	}
}

func TestSimilarEventsAreCombined(t *testing.T) {
	c, now := newCorrelator(), time.Now()
	for i := 1; i <= 12; i++ {
		p := c.correlate(event(fmt.Sprint("e", i), "Failed", fmt.Sprint("message ", i)), now)
		c.written(p)
		combined := strings.HasPrefix(p.event.Message, "(combined from similar events): ")
		if combined != (i >= 10) {
			t.Errorf("%d: %q", i, p.event.Message)
		}
		if i > 10 && (!p.repeat || p.event.Name != "e10" || p.event.Count != int32(i-9)) {
			t.Errorf("%d: %+v", i, p)
		}
	}
	p := c.correlate(event("late", "Failed", "message 99"), now.Add(11*time.Minute))
	if strings.HasPrefix(p.event.Message, "(") {
		t.Error("still combined after ten minutes of silence")
	}
}

func TestSpamIsLimited(t *testing.T) {
	c, now := newCorrelator(), time.Now()
	written := 0
	for range 100 {
		if p := c.correlate(event("e", "Unhealthy", "same"), now); !p.skip {
			written++
			c.written(p)
		}
	}
	if written != spamBurst {
		t.Fatalf("%d written", written)
	}
	p := c.correlate(event("e", "Unhealthy", "same"), now.Add(spamRefill))
	if p.skip || p.event.Count != 101 {
		t.Fatalf("after the refill: skip %v, count %d", p.skip, p.event.Count)
	}
	if p := c.correlate(event("e", "Unhealthy", "same"), now.Add(spamRefill)); !p.skip {
		t.Fatal("two for one refill")
	}
}
