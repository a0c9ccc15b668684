package flagtest

import (
	"embed"
	"strings"
	"testing"

	"sampan.dev/internal/component/flag"

	"github.com/spf13/pflag"
)

// The lists are what `kube-… --help` of v1.37.1 prints: name, type, default, "deprecated".
//
//go:embed testdata
var lists embed.FS

// untyped are types whose name upstream's usage does not print in a way that the lists could keep.
var untyped = map[string]bool{"bool": true, "mapStringBool": true, "Level": true, "namedCertKey": true, "pattern=N,...": true, "version": true,
	"ProxyMode": true, "LocalMode": true, "mapStringString": true, "headers": true, "memory": true}

// Check finds flags of upstream's that the table does not have or has with another type or default, flags that upstream does not
// have and that are not in extra, rows without a reason, and fields that have two rows. It gives each flag its default, which must
// be taken, and each refused one another value, which must be answered with the reason. fresh makes a table of its own each time.
func Check(t *testing.T, component string, fresh func() flag.Table, extra ...string) {
	t.Helper()
	data, err := lists.ReadFile("testdata/flags-" + component + ".tsv")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]*flag.Row{}
	fields := map[string]bool{}
	count := map[flag.Verdict]int{}
	for _, r := range fresh() {
		if r.Why == "" {
			t.Errorf("%s: no reason", r.Label())
		}
		if r.Field != "" && fields[r.Field] {
			t.Errorf("field %s has two rows", r.Field)
		}
		fields[r.Field] = true
		if r.Name == "" {
			continue
		}
		if _, twice := rows[r.Name]; twice {
			t.Errorf("--%s has two rows", r.Name)
		}
		rows[r.Name] = r
		count[r.Verdict]++
	}
	known := map[string]bool{}
	for _, name := range append(extra, "help", "version") {
		known[name] = true
	}
	for line := range strings.Lines(string(data)) {
		cells := append(strings.Split(strings.TrimRight(line, "\n"), "\t"), "", "", "")
		name, typ, def := strings.TrimPrefix(cells[0], "--"), cells[1], cells[2]
		if name == "help" || name == "version" {
			continue // the command's, not the component's
		}
		known[name] = true
		r, ok := rows[name]
		if !ok {
			t.Errorf("--%s has no row", name)
			continue
		}
		if typ != r.Type && !(typ == "" && untyped[r.Type]) {
			t.Errorf("--%s is a %q, upstream's a %q", name, r.Type, typ)
		}
		if have := trim(r.Default); trim(def) != "" && have != trim(def) || trim(def) == "" && typ != "strings" && !zero(have) { // "[*]" is lost in the lists
			t.Errorf("--%s has default %q, upstream's %q", name, have, trim(def))
		}
		parse(t, fresh(), r, trim(def))
	}
	for name := range rows {
		if !known[name] {
			t.Errorf("--%s is no flag of upstream's", name)
		}
	}
	t.Logf("%s: %d honoured, %d accepted, %d refused", component, count[flag.Honoured], count[flag.Accepted], count[flag.Refused])
}

func parse(t *testing.T, table flag.Table, r *flag.Row, def string) {
	t.Helper()
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	table.Add(fs)
	value := def
	if value == "" {
		value = map[string]string{"bool": "false", "int": "0", "int32": "0", "float": "0", "float32": "0", "duration": "0s"}[r.Type]
	}
	if err := fs.Parse([]string{"--" + r.Name + "=" + value}); err != nil && value != "" {
		t.Errorf("--%s=%s, which is its default: %v", r.Name, value, err)
	}
	if r.Verdict != flag.Refused {
		return
	}
	other := map[string]string{"bool": "true", "int": "12345", "int32": "12345", "duration": "12345s"}[r.Type]
	switch {
	case r.Type == "bool" && def == "true":
		other = "false"
	case other == "":
		other = "other=true"
	}
	if err := fs.Parse([]string{"--" + r.Name + "=" + other}); err == nil || !strings.Contains(err.Error(), r.Why) {
		t.Errorf("--%s=%s: %v, want an error that says %q", r.Name, other, err, r.Why)
	}
}

// Fields finds fields of upstream's configuration kind that the table does not have. The list has one path a line.
func Fields(t *testing.T, kind string, table flag.Table) {
	t.Helper()
	data, err := lists.ReadFile("testdata/fields-" + kind + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, r := range table {
		have[r.Field] = true
	}
	for line := range strings.Lines(string(data)) {
		path := strings.TrimSpace(line)
		up := path // a row for a whole object is a row for all that it holds
		for up != "" && !have[up] {
			i := strings.LastIndexByte(up, '.')
			up = up[:max(i, 0)]
		}
		if up == "" {
			t.Errorf("%s: field %s has no row", kind, path)
		}
		delete(have, path)
	}
}

func trim(def string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.Trim(def, `"`), "["), "]")
}

func zero(s string) bool { return s == "" || s == "0" || s == "0s" || s == "false" }
