package firewall

import "testing"

func FuzzLegacy(f *testing.F) {
	f.Add("-P FORWARD DROP\n-N X\n-A FORWARD -i eth0 -j X\n")
	f.Add("-A X -m comment --comment \"a b\" -j DROP")
	f.Add("-A")
	f.Fuzz(func(_ *testing.T, in string) {
		_ = parseLegacy(in)
	})
}
