package component

import "testing"

func FuzzGates(f *testing.F) {
	for _, s := range []string{"AllAlpha=false,KMSv1=true", "kube:KMSv1=x", "=", ",,"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, given string) { _ = knownGates(given) })
}
