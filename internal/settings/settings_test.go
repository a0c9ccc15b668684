package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sampan.dev/internal/machine/site"

	"github.com/spf13/pflag"
)

// flags are some of `up`.
type flags struct {
	dir, name, config, listen, labels string
	sans                              []string
	reserved                          map[string]string
	nodes                             int
	detach                            bool
}

func (f *flags) set() *pflag.FlagSet {
	fs := pflag.NewFlagSet("up", pflag.ContinueOnError)
	fs.StringVar(&f.dir, "data-dir", "/default", "")
	fs.StringVar(&f.name, "name", "", "")
	fs.StringVar(&f.config, "config", "", "")
	fs.StringVar(&f.listen, "listen", "0.0.0.0:6443", "")
	fs.StringVar(&f.labels, "node-labels", "", "")
	fs.StringSliceVar(&f.sans, "tls-san", nil, "")
	fs.StringToStringVar(&f.reserved, "system-reserved", nil, "")
	fs.IntVar(&f.nodes, "nodes", 1, "")
	fs.BoolVar(&f.detach, "detach", false, "")
	return fs
}

// given applies a command line, an environment and files, of which "" is the file itself and others are drop-ins.
func given(t *testing.T, args []string, env map[string]string, files map[string]string) (flags, string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	for name, content := range files {
		file := path
		if name != "" {
			file = filepath.Join(path+".d", name)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for k, v := range env {
		t.Setenv(k, v)
	}
	var f flags
	fs := f.set()
	if err := fs.Parse(append([]string{"--config", path}, args...)); err != nil {
		t.Fatal(err)
	}
	other := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	other.String("server", "", "")
	return f, path, Apply(fs, Known(fs, other))
}

// A flag counts more than the environment, that more than a drop-in, that more than the file, and a later drop-in more than an
// earlier one.
func TestPrecedence(t *testing.T) {
	files := map[string]string{
		"":        "# a comment\nnodes: 2\nlisten: 0.0.0.0:1\nnode-labels: [a=1, b=2]\nserver: https://x:1\nsystem-reserved:\n  cpu: 500m\n  memory: 1Gi\ntls-san:\n- one\n",
		"20.yaml": "nodes: 4\ntls-san+: [three]\n",
		"10.yaml": "nodes: 3\ntls-san+: two\n",
	}
	f, _, err := given(t, nil, nil, files)
	if err != nil || f.nodes != 4 || f.listen != "0.0.0.0:1" || f.labels != "a=1,b=2" || strings.Join(f.sans, " ") != "one two three" || f.reserved["cpu"] != "500m" || f.reserved["memory"] != "1Gi" {
		t.Errorf("files: %+v, %v", f, err)
	}
	f, _, err = given(t, nil, map[string]string{"SAMPAN_NODES": "5", "SAMPAN_DETACH": "true", "SAMPAN_NO_SUCH": "x", "SAMPAN_SERVER": "not of this command"}, files)
	if err != nil || f.nodes != 5 || !f.detach || f.listen != "0.0.0.0:1" {
		t.Errorf("environment: %+v, %v", f, err)
	}
	f, _, err = given(t, []string{"--nodes", "6"}, map[string]string{"SAMPAN_NODES": "5"}, files)
	if err != nil || f.nodes != 6 {
		t.Errorf("flag: %+v, %v", f, err)
	}
}

// Whoever says which cluster is meant says it alone.
func TestPlace(t *testing.T) {
	dir := func(name string) string {
		d, err := site.Usual().Dir(name)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, c := range []struct {
		what string
		args []string
		env  map[string]string
		file string
		want string
	}{
		{"nobody", nil, nil, "", "/default"},
		{"a name", []string{"--name", "no-such"}, nil, "", dir("no-such")},
		{"the default's name", []string{"--name", "sampan"}, nil, "", "/var/lib/sampan"},
		{"a name, against a directory in the file", []string{"--name", "no-such"}, nil, "data-dir: /file\n", dir("no-such")},
		{"a directory, against a name in the environment", []string{"--data-dir", "/flag"}, map[string]string{"SAMPAN_NAME": "no-such"}, "", "/flag"},
		{"the environment, against the file", nil, map[string]string{"SAMPAN_DATA_DIR": "/env"}, "name: no-such\n", "/env"},
		{"the file", nil, nil, "data-dir: /file\n", "/file"},
	} {
		t.Run(c.what, func(t *testing.T) {
			f, _, err := given(t, c.args, c.env, map[string]string{"": c.file})
			if err != nil || f.dir != c.want {
				t.Errorf("%s, %v; want %s", f.dir, err, c.want)
			}
		})
	}
}

// What is wrong is named with its place.
func TestErrorsNameFileAndLine(t *testing.T) {
	for _, c := range []struct {
		what, file string
		args       []string
		env        map[string]string
		want       string
	}{
		{"an unknown key", "nodes: 2\nlissten: x\n", nil, nil, `config.yaml:2: unknown key "lissten"; did you mean "listen"?`},
		{"one that is like nothing", "frobnicate-everything: 1\n", nil, nil, `config.yaml:1: unknown key "frobnicate-everything"; 'sampan up --help'`},
		{"a value of the wrong type", "\n\nnodes: many\n", nil, nil, `config.yaml:3: nodes: `},
		{"twice", "nodes: 1\nlisten: a\nnodes: 2\n", nil, nil, `config.yaml:3: "nodes" stands in line 1 already`},
		{"a list", "- nodes\n", nil, nil, `config.yaml:1: want flags and their values`},
		{"a list of lists", "tls-san:\n- [a]\n", nil, nil, `config.yaml:2: tls-san: want a list of plain values`},
		{"no YAML", "nodes: [\n", nil, nil, "config.yaml: line "},
		{"the environment", "", nil, map[string]string{"SAMPAN_NODES": "many"}, "SAMPAN_NODES: "},
		{"two places", "", []string{"--name", "a", "--data-dir", "/b"}, nil, "--name and --data-dir: want one of them"},
		{"two places in the environment", "", nil, map[string]string{"SAMPAN_NAME": "a", "SAMPAN_DATA_DIR": "/b"}, "SAMPAN_NAME and SAMPAN_DATA_DIR"},
		{"two places in the file", "name: a\ndata-dir: /b\n", nil, nil, "config.yaml:2: name and data-dir"},
		{"a bad name", "", []string{"--name", "A b"}, nil, `--name "A b": want`},
		{"a flag of the command line alone", "token-file: x\n", nil, nil, "unknown key"},
	} {
		t.Run(c.what, func(t *testing.T) {
			_, _, err := given(t, c.args, c.env, map[string]string{"": c.file})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %s", err, c.want)
			}
		})
	}
	var f flags
	fs := f.set()
	if err := fs.Parse([]string{"--config", "/no/such/file.yaml"}); err != nil {
		t.Fatal(err)
	}
	if err := Apply(fs, Known(fs)); err == nil || !strings.Contains(err.Error(), "/no/such/file.yaml") {
		t.Errorf("a file that was named and is not there: %v", err)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"listen", "node-labels", "node-name", "nodes"}
	for word, want := range map[string]string{"listn": "listen", "node-lables": "node-labels", "node": "nodes", "nodename": "node-name", "x": "", "": "", "unrelated": ""} {
		if got := Nearest(word, words); got != want {
			t.Errorf("%q is near %q, want %q", word, got, want)
		}
	}
}
