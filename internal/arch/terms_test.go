package arch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every word that docs/terms.md explains occurs in the package that it names, and the words stand there once.
func TestTermsOccurInTheCode(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root(t), "docs", "terms.md"))
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, line := range strings.Split(string(doc), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| word ") {
			continue
		}
		term, place := strings.TrimSpace(cells[1]), strings.Trim(strings.TrimSpace(cells[3]), "`")
		if told[term] {
			t.Errorf("%s stands there twice", term)
		}
		told[term] = true
		if !occurs(t, term, filepath.Join(root(t), "internal", place)) {
			t.Errorf("internal/%s does not use the word %q", place, term)
		}
	}
	if len(told) < 10 {
		t.Fatalf("docs/terms.md explains %d words", len(told))
	}
}

// occurs looks for a word in the files of a package, in names as in comments.
func occurs(t *testing.T, term, dir string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(file) != "terms_test.go" && strings.Contains(strings.ToLower(string(b)), term) {
			return true
		}
	}
	return false
}
