package status

import "testing"

func FuzzAddress(f *testing.F) {
	f.Add("0100007F:192B")
	f.Add("00000000000000000000000001000000:0050")
	f.Add(":")
	f.Fuzz(func(_ *testing.T, in string) {
		_, _ = parseAddr(in)
	})
}
