package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every direct dependency has a line that says why it is there.
func TestEveryDependencySaysWhy(t *testing.T) {
	top := root(t)
	mod, err := os.ReadFile(filepath.Join(top, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(top, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, row := range strings.Split(string(doc), "\n") {
		if !strings.HasPrefix(row, "| `") {
			continue
		}
		first, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), " | ")
		var base string
		for _, quoted := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(first, -1) {
			for _, name := range expand(quoted[1]) {
				if !strings.Contains(strings.Split(name, "/")[0], ".") {
					name = base + name // "client/v3" after "go.etcd.io/etcd/server/v3"
				} else {
					base = prefixFor(name)
				}
				named[name] = true
			}
		}
	}
	for _, line := range strings.Split(string(mod), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 2 && strings.Contains(fields[0], ".") && strings.HasPrefix(fields[1], "v") && !named[fields[0]] {
			t.Errorf("%s has no line in docs/dependencies.md", fields[0])
		}
	}
}

// expand turns "golang.org/x/{net,sync}" into two names.
func expand(s string) []string {
	before, rest, ok := strings.Cut(s, "{")
	if !ok {
		return []string{s}
	}
	list, after, _ := strings.Cut(rest, "}")
	var out []string
	for _, item := range strings.Split(list, ",") {
		out = append(out, before+item+after)
	}
	return out
}

// prefixFor is what a shortened name in the same row leaves out: the folder of the first one's module.
func prefixFor(name string) string {
	name = regexp.MustCompile(`/v[0-9]+$`).ReplaceAllString(name, "")
	return name[:strings.LastIndex(name, "/")+1]
}
