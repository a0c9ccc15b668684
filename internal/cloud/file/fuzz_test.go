package file

import "testing"

func FuzzSpan(f *testing.F) {
	f.Add("10.0.0.1-10.0.0.9")
	f.Add("10.0.0.0/24")
	f.Add("fd00::/120")
	f.Add("10.0.0.9-10.0.0.1")
	f.Fuzz(func(_ *testing.T, in string) {
		_, _ = parseSpan(in)
	})
}
