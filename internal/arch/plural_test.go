package arch

import (
	"bufio"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// mayName are the folders and files of the hub that may quote the plural name of a kind, and why. Everywhere else what is special
// about a kind is a field of api.Kind, so that a new kind needs no line in the hub.
var mayName = map[string]string{
	"internal/hub/admit":                       "each plugin is about the kinds that it is about",
	"internal/hub/audit":                       "the default policy names what is written all the time",
	"internal/hub/authz":                       "the node authorizer is about what pods name",
	"internal/hub/bootstrap":                   "the system's own roles name what they allow",
	"internal/hub/connect":                     "the literal list of the streams that are handed on",
	"internal/hub/openapi/kind.go":             "the grammar of URLs has the word namespaces",
	"internal/hub/rest/flow.go":                "requests that keep a node alive go before others",
	"internal/hub/rest/route.go":               "the grammar of URLs has the word namespaces",
	"internal/hub/review":                      "the literal list of the handlers of creates that are not stored",
	"internal/hub/verb/binding.go":             "to bind is to write a pod",
	"internal/hub/verb/engine.go":              "the literal list of the verbs' own handlers",
	"internal/hub/admit/podsecurity/config.go": "the name of a field of the configuration file",
}

// TestPlurals: the hub quotes no plural of any kind of upstream's, alone, before or after a slash, or before its group.
func TestPlurals(t *testing.T) {
	top := root(t)
	plural := plurals(t, filepath.Join(top, "internal/api/all/testdata/discovery.jsonl"))
	used := map[string]bool{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(filepath.Join(top, "internal/hub"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(top, path)
		ast.Inspect(file, func(n ast.Node) bool {
			if _, ok := n.(*ast.ImportSpec); ok {
				return false
			}
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, _ := strconv.Unquote(lit.Value)
			for _, part := range strings.Split(text, "/") {
				if !plural[part] {
					continue
				}
				at := rel
				if mayName[at] == "" {
					at = filepath.Dir(rel)
				}
				if used[at] = true; mayName[at] == "" {
					t.Errorf("%s: %q names a kind; what is special about it belongs into its api.Kind", fset.Position(lit.Pos()), text)
				}
				break
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for at := range mayName {
		if !used[at] {
			t.Errorf("%s names no kind any more: take it off the list", at)
		}
	}
}

// plurals are the names of upstream's resources: "pods", "deployments", "deployments.apps".
func plurals(t *testing.T, file string) map[string]bool {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		var r struct{ Group, Resource string }
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		out[r.Resource] = true
		if r.Group != "" {
			out[r.Resource+"."+r.Group] = true
		}
	}
	if !out["pods"] || !out["deployments.apps"] {
		t.Fatalf("%s names no pods or deployments", file)
	}
	return out
}
