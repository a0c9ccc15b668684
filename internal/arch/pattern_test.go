package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPatternsWait: no package variable is a compiled regular expression: each process of the program would compile it, whether
// or not it matches anything.
func TestPatternsWait(t *testing.T) {
	compiled := regexp.MustCompile(`(?m)^(?:var |\t)(\w+)\s*=\s*regexp\.MustCompile\(`)
	top := root(t)
	for _, p := range packages(t) {
		if strings.HasPrefix(p.path, "e2e") {
			continue // programs of their own
		}
		names, err := filepath.Glob(filepath.Join(top, p.path, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range compiled.FindAllSubmatch(text, -1) {
				t.Errorf("%s compiles %s at start: make it with pattern.New", name, m[1])
			}
		}
	}
}
