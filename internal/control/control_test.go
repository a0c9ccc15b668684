package control

import (
	"log/slog"
	"strings"
	"testing"

	"sampan.dev/internal/api/unbuilt"
)

func TestSelection(t *testing.T) {
	m, err := New(Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	count := func(selection string) (n int, deployment bool) {
		var sel []string
		if selection != "" {
			sel = strings.Split(selection, ",")
		}
		for _, d := range m.list() {
			if enabled(d, sel) {
				n++
				deployment = deployment || d.name == "deployment-controller"
			}
		}
		return n, deployment
	}
	all := len(m.Names())
	for _, tc := range []struct {
		selection string
		n         int
		dep       bool
	}{
		{"", all, true}, {"*", all, true}, {"*,-deployment-controller", all - 1, false}, {"-deployment,*", all - 1, false},
		{"deployment", 1, true}, {"replicaset-controller,deployment-controller", 2, true}, {"-deployment-controller", 0, false},
	} {
		if n, dep := count(tc.selection); n != tc.n || dep != tc.dep {
			t.Errorf("%q: %d, %v; want %d, %v", tc.selection, n, dep, tc.n, tc.dep)
		}
	}
	for _, bad := range []string{"nobody", "-nobody", "*,", "deployment-controller,x"} {
		if _, err := New(Config{Log: slog.New(slog.DiscardHandler), Controllers: strings.Split(bad, ",")}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// Every name that upstream's manager knows is taken, once: a controller that is built leaves the list of absent ones.
func TestUpstreamNames(t *testing.T) {
	m, err := New(Config{Log: slog.New(slog.DiscardHandler), Controllers: []string{"*", "-cronjob-controller", "-svm", "-ttl"}})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, n := range m.Names() {
		names[n] = true
	}
	upstream := len(names)
	for _, c := range unbuilt.Controllers {
		if names[c.Name] {
			t.Errorf("%s is listed as not built and there", c.Name)
		}
		upstream++
	}
	if upstream != 49 {
		t.Errorf("%d names, upstream has 49", upstream)
	}
}
