package proxy

import (
	"errors"
	"log/slog"
	"testing"
)

func TestChoose(t *testing.T) {
	missing := errors.New("operation not permitted")
	for _, c := range []struct {
		mode      string
		supported error
		userspace bool
		why       error
	}{
		{"", nil, false, nil},
		{"", missing, true, missing},
		{"iptables", nil, false, nil},
		{"ipvs", missing, true, missing},
		{"nftables", missing, false, nil}, // who insists gets it, or an error
		{"userspace", nil, true, nil},
		{"userspace", missing, true, nil},
	} {
		in, why := choose(c.mode, func() error { return c.supported })
		if in != c.userspace || why != c.why {
			t.Errorf("%q, nf_tables %v: %v %v", c.mode, c.supported, in, why)
		}
	}
}

func TestModeIsShown(t *testing.T) {
	for mode, want := range map[string]string{"nftables": "nftables", "userspace": "userspace"} {
		c := New()
		c.Mode = mode
		v4, v6 := c.appliers(nil, nil, slog.New(slog.DiscardHandler))
		if v4.Mode() != want || v6 != nil {
			t.Errorf("%s: %s %v", mode, v4.Mode(), v6)
		}
	}
}
