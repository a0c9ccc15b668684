package logs

import "testing"

func FuzzLine(f *testing.F) {
	f.Add(`time=2026-11-30T10:00:00Z level=INFO msg=a component=b`)
	f.Add(`{"time":"2026-11-30T10:00:00Z","component":"a"}`)
	f.Add(`time=`)
	f.Add(`{`)
	f.Fuzz(func(_ *testing.T, in string) {
		_ = parse(in)
	})
}
