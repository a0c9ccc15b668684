package job

import "testing"

func FuzzSpans(f *testing.F) {
	f.Add("0-3,5,7-")
	f.Add("1,1,0")
	f.Add("-1--2")
	f.Fuzz(func(t *testing.T, in string) {
		prev := -1
		for _, s := range parseSpans(in, 100) {
			if s.last >= 100 {
				t.Errorf("%q: %v after %d", in, s, prev)
			}
			prev = s.last
		}
	})
}
