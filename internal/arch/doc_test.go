package arch

import "testing"

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		if !p.doc {
			t.Errorf("%s has no doc.go with a package comment", p.path)
		}
	}
}
