package arch

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "sampan.dev/"

// pkg is one folder of Go files.
type pkg struct {
	path    string              // below the module: "internal/hub/verb"
	doc     bool                // doc.go has a package comment
	imports map[string][]string // import path -> files that have it; test files are left out
}

// root finds the checkout from the folder the test runs in.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = up
	}
}

// packages reads every package of the main module.
func packages(t *testing.T) []*pkg {
	t.Helper()
	top := root(t)
	byPath := map[string]*pkg{}
	fset := token.NewFileSet()
	var order []*pkg
	for _, base := range []string{"cmd", "internal", "e2e"} {
		err := filepath.WalkDir(filepath.Join(top, base), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				if os.IsNotExist(err) {
					return nil
				}
				return err
			}
			if d.IsDir() && d.Name() == "testdata" {
				return filepath.SkipDir
			}
			if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			rel, _ := filepath.Rel(top, filepath.Dir(path))
			p := byPath[rel]
			if p == nil {
				p = &pkg{path: rel, imports: map[string][]string{}}
				byPath[rel] = p
				order = append(order, p)
			}
			f, err := parser.ParseFile(fset, path, nil, parser.ImportsOnly|parser.ParseComments)
			if err != nil {
				return err
			}
			if d.Name() == "doc.go" && f.Doc != nil {
				p.doc = true
			}
			for _, imp := range f.Imports {
				name, _ := strconv.Unquote(imp.Path.Value)
				p.imports[name] = append(p.imports[name], d.Name())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return order
}
