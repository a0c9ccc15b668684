package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dialling is what opens connections by itself. In the hub only egress may: whoever else dialled could be led back to the hub.
var dialling = map[string][]string{
	"net":      {"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialIP", "Dialer"},
	"tls":      {"Dial", "DialWithDialer", "Dialer"},
	"http":     {"Get", "Head", "Post", "PostForm", "DefaultClient", "DefaultTransport", "Client"},
	"grpc":     {"NewClient", "Dial", "DialContext"},
	"rest":     {"RESTClientFor", "HTTPClientFor", "TransportFor"},
	"stream":   {"NewTransport"},
	"httputil": {"NewSingleHostReverseProxy"},
}

// allowedDialling says where it is done all the same, and why it leads nobody astray.
var allowedDialling = map[string]string{
	"internal/hub/egress/dial.go":           "it is the dialer",
	"internal/hub/connect/connect.go":       "its transports are given the dialer",
	"internal/hub/aggregate/reach.go":       "its transports are given the dialer",
	"internal/hub/connect/locate.go":        "the kubelet of this process, where it is known to listen",
	"internal/hub/authn/jwt/issuer.go":      "issuers are where the command line or a file that it names says",
	"internal/hub/callout/callout.go":       "webhooks are where files that the command line names say",
	"internal/hub/components/components.go": "the two ports of this machine at which upstream's components say how they are",
	"internal/hub/encrypt/plugin.go":        "a KMS plugin is a socket of this machine that a file names",
}

func TestOnlyEgressLeavesTheHub(t *testing.T) {
	top := root(t)
	fset := token.NewFileSet()
	found := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(top, "internal/hub"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "test/") {
			return err
		}
		rel, _ := filepath.Rel(top, path)
		if strings.HasPrefix(rel, "internal/hub/store/") {
			return nil // etcd is where the command line says
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, path, src, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			if !ok || pkg.Obj != nil { // a variable, not a package
				return true
			}
			for _, name := range dialling[pkg.Name] {
				if sel.Sel.Name != name {
					continue
				}
				if found[rel] = true; allowedDialling[rel] == "" {
					t.Errorf("%s: %s.%s: connections out of the hub are made by internal/hub/egress", fset.Position(sel.Pos()), pkg.Name, name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for file := range allowedDialling {
		if !found[file] {
			t.Errorf("%s dials no more: take it off the list", file)
		}
	}
}
