package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestLocksAreTheDocumentedOnes holds the table in docs/locks.md equal to the mutexes in the code.
func TestLocksAreTheDocumentedOnes(t *testing.T) {
	top := root(t)
	doc, err := os.ReadFile(filepath.Join(top, "docs", "locks.md"))
	if err != nil {
		t.Fatal(err)
	}
	told, has := documentedLocks(string(doc)), locksIn(t, top)
	for _, name := range slices.Sorted(maps.Keys(has)) {
		if !told[name] {
			t.Errorf("%s: the mutex %s has no row in docs/locks.md", has[name], name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(told)) {
		if has[name] == "" {
			t.Errorf("docs/locks.md has a row for %s, which is no mutex", name)
		}
	}
}

// documentedLocks reads the first column of the table: "`hub/flow` Gate.mu, Budget.mu; `hub/audit` Lines.mu". A lock is
// returned as its package, a blank and its name. Rows of file locks are left out.
func documentedLocks(doc string) map[string]bool {
	token := regexp.MustCompile("`[^`]+`|[A-Za-z]\\w*(\\.\\w+)?")
	out := map[string]bool{}
	for _, line := range strings.Split(doc, "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cell, _, _ := strings.Cut(line[2:], " |")
		dir := ""
		for _, word := range token.FindAllString(cell, -1) {
			if word[0] == '`' {
				dir = strings.Trim(word, "`")
			} else {
				out[dir+" "+word] = true
			}
		}
	}
	return out
}

// locksIn finds the mutexes that outlive a function: in fields, in fields that are structs, and in package variables. It
// returns where each stands.
func locksIn(t *testing.T, top string) map[string]string {
	out := map[string]string{}
	fset := token.NewFileSet()
	for _, base := range []string{"cmd", "internal", "shim"} {
		err := filepath.WalkDir(filepath.Join(top, base), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && d.Name() == "testdata" {
				return filepath.SkipDir
			}
			if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel(top, filepath.Dir(path))
			rel = strings.TrimPrefix(rel, "internal/")
			for _, decl := range f.Decls {
				g, ok := decl.(*ast.GenDecl)
				if !ok {
					continue
				}
				for _, spec := range g.Specs {
					for _, name := range mutexes(spec) {
						out[rel+" "+name] = d.Name()
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// mutexes names the mutexes of one type or variable: "Type.field", or "Type" where it is embedded.
func mutexes(spec ast.Spec) (names []string) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		return within(spec.Name.Name, spec.Type)
	case *ast.ValueSpec:
		for i, name := range spec.Names {
			typ := spec.Type
			if typ == nil && i < len(spec.Values) { // var x = struct{ sync.Mutex }{…}
				value := spec.Values[i]
				if ref, ok := value.(*ast.UnaryExpr); ok {
					value = ref.X
				}
				if lit, ok := value.(*ast.CompositeLit); ok {
					typ = lit.Type
				}
			}
			names = append(names, within(name.Name, typ)...)
		}
	}
	return names
}

func within(name string, typ ast.Expr) (names []string) {
	switch typ := typ.(type) {
	case *ast.StarExpr:
		return within(name, typ.X)
	case *ast.ArrayType:
		return within(name, typ.Elt)
	case *ast.MapType:
		return within(name, typ.Value)
	case *ast.SelectorExpr:
		if x, ok := typ.X.(*ast.Ident); ok && x.Name == "sync" && (typ.Sel.Name == "Mutex" || typ.Sel.Name == "RWMutex") {
			return []string{name}
		}
	case *ast.StructType:
		for _, field := range typ.Fields.List {
			if len(field.Names) == 0 {
				names = append(names, within(name, field.Type)...)
			}
			for _, n := range field.Names {
				names = append(names, within(name+"."+n.Name, field.Type)...)
			}
		}
	}
	return names
}

// TestLocksAreFound shows the shapes in which a mutex can stand.
func TestLocksAreFound(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", `package x
type A struct { mu struct { sync.Mutex; n int }; life sync.RWMutex }
type B struct { sync.Mutex }
type C struct { shards [4]struct { sync.Mutex } }
var one sync.Mutex
var two = struct { sync.Mutex; m map[string]int }{}
func f() { var local sync.Mutex }
`, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, decl := range f.Decls {
		if g, ok := decl.(*ast.GenDecl); ok {
			for _, spec := range g.Specs {
				got = append(got, mutexes(spec)...)
			}
		}
	}
	if want := []string{"A.mu", "A.life", "B", "C.shards", "one", "two"}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}
