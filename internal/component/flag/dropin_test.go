package flag

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestReadFolder has drop-ins change a file and each other, in the order of their paths.
func TestReadFolder(t *testing.T) {
	const head = "apiVersion: v1\nkind: K\n"
	for _, c := range []struct {
		name, file string
		folder     map[string]string
		args       []string
		want       string // name count map, or an error
	}{
		{name: "none", file: "name: a", want: "a 0 "},
		{name: "no file", folder: map[string]string{"1.conf": "name: a"}, want: "a 0 "},
		{name: "in order", file: "{name: a, count: 1}", folder: map[string]string{"20.conf": "name: c", "10.conf": "{name: b, count: 2}"}, want: "c 2 "},
		{name: "below folders", folder: map[string]string{"2.conf": "name: a", "1/9.conf": "name: b"}, want: "a 0 "},
		{name: "other names", file: "name: a", folder: map[string]string{"1.yaml": "name: b", "2.conf.bak": "name: c"}, want: "a 0 "},
		{name: "maps merge", file: "group: {map: {a: 1, b: 2}}", folder: map[string]string{"1.conf": "group: {map: {b: 3, c: 4}}"}, want: " 0 a=1,b=3,c=4"},
		{name: "null takes back", file: "{name: a, count: 3}", folder: map[string]string{"1.conf": "count: null"}, want: "a 0 "},
		{name: "flags win", folder: map[string]string{"1.conf": "{name: a, count: 3}"}, args: []string{"--name=f"}, want: "f 3 "},
		{name: "unknown field", folder: map[string]string{"1.conf": "nam: a"}, want: `1.conf: strict decoding error: unknown field "nam"`},
		{name: "unknown field that is taken back", file: "nam: a", folder: map[string]string{"1.conf": "nam: null"}, want: `strict decoding error: unknown field "nam"`},
		{name: "unknown field of a group", folder: map[string]string{"1.conf": "group: {mop: {}}"}, want: `unknown field "group.mop"`},
		{name: "another kind", folder: map[string]string{"1.conf": "kind: L"}, want: "1.conf: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var name string
			var count int32
			var pairs map[string]string
			table := Table{Set("name", String(&name), "x").At("name"), Set("", Int32(&count), "x").At("count"), Set("", Map(&pairs), "x").At("group.map")}
			fs := pflag.NewFlagSet("", pflag.ContinueOnError)
			table.Add(fs)
			if err := fs.Parse(c.args); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			file := ""
			put := func(path, text string) string {
				path = filepath.Join(dir, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(head+text+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
				return path
			}
			if strings.HasPrefix(c.file, "{") {
				c.file = strings.NewReplacer("{", "", "}", "", ", ", "\n").Replace(c.file)
			}
			if c.file != "" {
				file = put("file.yaml", c.file)
			}
			if err := os.MkdirAll(filepath.Join(dir, "d"), 0o755); err != nil {
				t.Fatal(err)
			}
			for path, text := range c.folder {
				if strings.HasPrefix(text, "{") {
					text = strings.NewReplacer("{", "", "}", "", ", ", "\n").Replace(text)
				}
				put("d/"+path, text)
			}
			_, err := table.ReadFolder(file, filepath.Join(dir, "d"), fs, "K", "v1")
			got := strings.Join([]string{name, Int32(&count).String(), joined(pairs, "=")}, " ")
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
