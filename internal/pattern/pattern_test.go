package pattern

import (
	"sync"
	"testing"
)

func TestPattern(t *testing.T) {
	p := New(`^([a-z]+)-(\d+)$`)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if m := p.FindStringSubmatch("pod-12"); len(m) != 3 || m[1] != "pod" || m[2] != "12" {
				t.Error(m)
			}
		})
	}
	all.Wait()
	if !p.MatchString("a-1") || p.MatchString("a-b") {
		t.Error("matches wrongly")
	}
	if p.String() != `^([a-z]+)-(\d+)$` {
		t.Error(p)
	}
	if got := New(`\d`).ReplaceAllString("a1b2", ""); got != "ab" {
		t.Error(got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a pattern that is none was used")
		}
	}()
	New(`(`).MatchString("")
}
