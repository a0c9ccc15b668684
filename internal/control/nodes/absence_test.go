package nodes

import (
	"testing"
	"testing/synctest"
	"time"
)

// The quarantine of a node runs from when it went last, not from when anybody first asked about it.
func TestAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a absences
		left := func(want time.Duration) {
			t.Helper()
			if got := a.left("n"); got != want {
				t.Errorf("%v left, want %v", got, want)
			}
		}
		left(40 * time.Second) // a pod was seen before its node
		a.forget("n")
		time.Sleep(30 * time.Second)
		a.gone("n")
		time.Sleep(15 * time.Second)
		left(25 * time.Second)
		time.Sleep(25 * time.Second)
		left(0)
		a.gone("n") // it was back in between, and that was missed
		left(40 * time.Second)
		a.forget("n") // its last pod is gone
		if d, ok := a.leftOf("n", func() bool { return false }); d != 0 || ok {
			t.Errorf("%v left of a node that no pod is named onto, noted: %t", d, ok)
		}
		time.Sleep(time.Second)
		left(40 * time.Second) // of a pod that comes later
	})
}
