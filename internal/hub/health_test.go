package hub

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// What is told of the parts beside the hub is listed with its reason and decides nothing; what the hub itself needs decides.
func TestChecksThatAreToldDecideNothing(t *testing.T) {
	var parts, own error
	h := start(t, func(c *Config) {
		c.Checks = []Check{
			{Name: "parts", Told: true, Check: func(context.Context) error { return parts }},
			{Name: "own", Check: func(context.Context) error { return own }},
		}
	})
	down := errors.New("dns: port 53 is taken\nby another")
	for _, c := range []struct {
		parts, own error
		path       string
		code       int
		want       string
	}{
		{nil, nil, "/readyz?verbose", 200, "[+]parts ok\n"},
		{nil, nil, "/readyz", 200, "ok"},
		{down, nil, "/readyz", 200, "ok"},
		{down, nil, "/readyz?verbose", 200, "[-]parts failed: dns: port 53 is taken by another\n"},
		{down, nil, "/readyz?verbose", 200, "readyz check passed\n"},
		{down, nil, "/livez?verbose", 200, "[-]parts failed: dns: port 53 is taken by another\n"},
		{down, nil, "/healthz", 200, "ok"},
		{down, nil, "/readyz/parts", 500, "internal server error: dns: port 53 is taken"},
		{down, nil, "/readyz?verbose&exclude=parts", 200, "[+]parts excluded: ok\n"},
		{down, down, "/readyz", 500, "[-]own failed: reason withheld\n"},
		{nil, down, "/livez", 500, "livez check failed\n"},
	} {
		parts, own = c.parts, c.own
		if a := do(h, "GET", c.path, ""); a.code != c.code || !strings.Contains(string(a.body), c.want) {
			t.Errorf("parts %v, own %v, %s: %d %s", c.parts, c.own, c.path, a.code, a.body)
		}
	}
}
