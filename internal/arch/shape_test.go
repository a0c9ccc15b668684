package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mostFiles is how many files a package may have; tests are not counted.
const mostFiles = 20

// large are the packages that may have more, and why. One that no longer needs its line fails too.
var large = map[string]string{
	"internal/api/core":  "a literal list: one file per kind of the core group",
	"internal/api/valid": "a literal list: one file per part of a pod that is validated",
	"internal/hub/admit": "a literal list: one file per admission plugin, or for a few that belong together",
}

func TestPackagesAreSmall(t *testing.T) {
	top := root(t)
	seen := map[string]bool{}
	for _, p := range packages(t) {
		files, err := filepath.Glob(filepath.Join(top, p.path, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
		_, may := large[p.path]
		seen[p.path] = true
		switch {
		case len(files) > mostFiles && !may:
			t.Errorf("%s has %d files, at most %d", p.path, len(files), mostFiles)
		case len(files) <= mostFiles && may:
			t.Errorf("%s has %d files and needs no exception", p.path, len(files))
		}
	}
	for path := range large {
		if !seen[path] {
			t.Errorf("%s has an exception and is no package", path)
		}
	}
}

// TestCommandHoldsSubcommands: what a subcommand does stands below internal/; each file of cmd/sampan makes a cobra command.
func TestCommandHoldsSubcommands(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root(t), "cmd", "sampan", "*.go"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasSuffix(name, "_test.go") || name == "doc.go" || name == "main.go" {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(f.Decls, makesCommand) {
			t.Errorf("cmd/sampan/%s makes no *cobra.Command", name)
		}
	}
}

// makesCommand reports whether a declaration is a function that returns a *cobra.Command, or several.
func makesCommand(d ast.Decl) bool {
	fn, ok := d.(*ast.FuncDecl)
	if !ok || fn.Type.Results == nil || len(fn.Type.Results.List) != 1 {
		return false
	}
	typ := fn.Type.Results.List[0].Type
	if list, ok := typ.(*ast.ArrayType); ok {
		typ = list.Elt
	}
	star, ok := typ.(*ast.StarExpr)
	if !ok {
		return false
	}
	sel, ok := star.X.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "Command"
}

// section returns what stands in a document below a heading, up to the next one.
func section(t *testing.T, file, heading string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root(t), file))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", file, heading)
	}
	body, _, _ := strings.Cut(rest, "\n## ")
	return body
}

var quoted = regexp.MustCompile("`([^`]+)`")

// Every place that the table of a write's stages names is a file or a package.
func TestStagesOfAWriteHavePlaces(t *testing.T) {
	rows := 0
	for _, line := range strings.Split(section(t, "ARCHITECTURE.md", "A write, stage by stage"), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 4 || strings.Contains(cells[1], "---") || strings.TrimSpace(cells[1]) == "stage" {
			continue
		}
		rows++
		for _, place := range quoted.FindAllStringSubmatch(cells[2], -1) {
			if !strings.HasPrefix(place[1], "hub/") && !strings.HasPrefix(place[1], "api/") {
				continue // a function: see the order below
			}
			if _, err := os.Stat(filepath.Join(root(t), "internal", place[1])); err != nil {
				t.Errorf("%q: %v", strings.TrimSpace(cells[1]), err)
			}
		}
	}
	if rows < 10 {
		t.Fatalf("the table has %d rows", rows)
	}
}

// orders are the calls of the functions that run the stages, in the order in which ARCHITECTURE.md tells of them.
var orders = []struct {
	file, function string
	calls          []string
}{
	{"internal/hub/rest/pipeline.go", "serve", []string{"parseRoute", "identify", "authenticate", "impersonate", "takeOn", "deadline", "Decide", "resource"}},
	{"internal/hub/verb/create.go", "Create", []string{"incoming", "WipeSystemFields", "track", "create"}},
	{"internal/hub/verb/create.go", "incoming", []string{"Default", "inward"}},
	{"internal/hub/verb/create.go", "create", []string{"Admit", "createOnce"}},
	{"internal/hub/verb/create.go", "createOnce", []string{"FillSystemFields", "PrepareCreate", "assign", "insert"}},
	{"internal/hub/verb/create.go", "insert", []string{"ValidateNew", "Validate", "encode", "Create", "learn"}},
	{"internal/hub/rest/account.go", "finish", []string{"count", "Ends"}},
}

// The stages of a write run in the order that ARCHITECTURE.md tells: where this fails, its table is to be mended too.
func TestStagesOfAWriteAreInOrder(t *testing.T) {
	for _, o := range orders {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root(t), o.file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		called := callsOf(f, o.function)
		from := 0
		for _, call := range o.calls {
			at := slices.Index(called[from:], call)
			if at < 0 {
				t.Errorf("%s %s: no call of %s where it was; it calls %v", o.file, o.function, call, called)
				break
			}
			from += at + 1
		}
	}
}

// callsOf names what a function calls, in the order of the text.
func callsOf(f *ast.File, function string) (names []string) {
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name != function {
			continue
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				switch fun := call.Fun.(type) {
				case *ast.Ident:
					names = append(names, fun.Name)
				case *ast.SelectorExpr:
					names = append(names, fun.Sel.Name)
				}
			}
			return true
		})
	}
	return names
}
