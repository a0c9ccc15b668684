package users

import "testing"

func FuzzIDs(f *testing.F) {
	f.Add("0: kubelet 65536 7208960")
	f.Add("0: kubelet")
	f.Add("0: kubelet -1 99999999999")
	f.Fuzz(func(t *testing.T, in string) {
		if first, length, err := parse(in); err == nil && uint64(first)+uint64(length) < uint64(first) {
			t.Errorf("%q: %d %d", in, first, length)
		}
	})
}
