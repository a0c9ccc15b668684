package cloud

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseRange(t *testing.T) {
	for _, c := range []struct{ in, first, last, bad string }{
		{"192.0.2.1", "192.0.2.1", "192.0.2.1", ""},
		{"192.0.2.4 - 192.0.2.9", "192.0.2.4", "192.0.2.9", ""},
		{"192.0.2.17/28", "192.0.2.17", "192.0.2.30", ""},
		{"192.0.2.16/31", "192.0.2.16", "192.0.2.17", ""},
		{"fd00::5/126", "fd00::4", "fd00::7", ""},
		{"192.0.2.9-192.0.2.4", "", "", "does not come after"},
		{"192.0.2.9-fd00::1", "", "", "does not come after"},
		{"192.0.2.0/33", "", "", "prefix length out of range"},
		{"here", "", "", "unable to parse IP"},
		{"", "", "", "unable to parse IP"},
	} {
		r, err := ParseRange(c.in)
		switch {
		case c.bad != "":
			if err == nil || !strings.Contains(err.Error(), c.bad) {
				t.Errorf("%q: %v, want %q", c.in, err, c.bad)
			}
		case err != nil:
			t.Errorf("%q: %v", c.in, err)
		case r.First.String() != c.first || r.Last.String() != c.last:
			t.Errorf("%q: %v to %v", c.in, r.First, r.Last)
		}
	}
}

func TestRangeOverlaps(t *testing.T) {
	r, err := ParseRange("192.0.2.10-192.0.2.20")
	if err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string]bool{"192.0.2.0/24": true, "192.0.2.12/32": true, "192.0.2.16/28": true, "192.0.2.0/29": false, "192.0.2.24/29": false, "fd00::/8": false} {
		if got := r.Overlaps(netip.MustParsePrefix(prefix)); got != want {
			t.Errorf("%s: %v", prefix, got)
		}
	}
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"10.0.0.1-10.0.0.9", "10.0.0.0/24", "fd00::/120", "10.0.0.9-10.0.0.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if r, err := ParseRange(in); err == nil && (!r.Has(r.First) || !r.Has(r.Last)) {
			t.Errorf("%q: %v does not have its own ends", in, r)
		}
	})
}
