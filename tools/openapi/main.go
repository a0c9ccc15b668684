// Openapi makes internal/hub/openapi/definitions.json.gz and types.txt: the OpenAPI definitions of every type that the hub serves, with
// their descriptions, from the sources of k8s.io/api.
//
// It runs in two steps, because the first writes the Go package that the second imports: openapi-gen turns the types and
// their comments into models/ (not committed: 3 MB of Go), then emit/ turns that into compressed JSON. `go generate
// ./internal/hub/openapi` runs it; it is needed only when a group or a version of one is added to internal/api/group or k8s.io/api
// moves.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"sampan.dev/internal/api/group"

	"k8s.io/apimachinery/pkg/runtime"
)

// shared are the packages of types that those of all groups are made of.
var shared = []string{
	"k8s.io/api/scheduling/v1alpha3", // batch/v1 Jobs speak of its types
	"k8s.io/apimachinery/pkg/api/resource",
	"k8s.io/apimachinery/pkg/apis/meta/v1",
	"k8s.io/apimachinery/pkg/runtime",
	"k8s.io/apimachinery/pkg/util/intstr",
	"k8s.io/apimachinery/pkg/version",
}

func main() {
	gen := append([]string{"tool", "openapi-gen", "--output-dir", "models", "--output-pkg", "sampan.dev/tools/openapi/models",
		"--output-file", "models.go", "--report-filename", os.DevNull}, shared...)
	run(append(gen, packages()...)...)
	run("run", "./emit", "../../internal/hub/openapi")
}

// packages returns the packages that hold the types of the described groups.
func packages() []string {
	s := runtime.NewScheme()
	if err := group.AddToScheme(s, func(g *group.Group) bool { return g.Described }); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
	var out []string
	for _, t := range s.AllKnownTypes() {
		if p := t.PkgPath(); !strings.HasPrefix(p, "k8s.io/apimachinery/") && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

func run(args ...string) {
	c := exec.Command("go", args...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "openapi: go %s: %v\n", args[0], err)
		os.Exit(1)
	}
}
