package loop

import (
	"testing"
	"testing/synctest"
	"time"
)

// A queue counts its keys, how long they waited, and how long they were worked on; a controller of several queues tells of all.
func TestFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue()
		q.Add("a")
		q.Add("a") // the same key
		q.Add("b")
		time.Sleep(time.Second)
		key, _ := q.Get(t.Context())
		time.Sleep(100 * time.Millisecond)
		f := FiguresOf(All{&Controller{Queue: q}, Measured{Runner: &Controller{Queue: NewQueue()}}})
		if f.Adds != 2 || f.Depth != 1 || f.Longest != 100*time.Millisecond || f.Unfinished != f.Longest {
			t.Errorf("%+v", f)
		}
		q.Retry(key)
		q.Done(key)
		f = FiguresOf(&Controller{Queue: q})
		if f.Retries != 1 || f.Longest != 0 {
			t.Errorf("%+v", f)
		}
		if upTo, n, sum := f.Waited.Buckets(); n != 1 || sum != 1 || upTo[0.1] != 0 || upTo[1] != 1 || upTo[10] != 1 || len(upTo) != spreads {
			t.Errorf("waited: %v, %d in %v s", upTo, n, sum)
		}
		if upTo, n, sum := f.Worked.Buckets(); n != 1 || sum != 0.1 || upTo[0.01] != 0 || upTo[0.1] != 1 {
			t.Errorf("worked: %v, %d in %v s", upTo, n, sum)
		}
		q.ShutDown()
	})
}
