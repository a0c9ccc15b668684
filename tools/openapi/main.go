// Openapi makes internal/hub/openapi/*.json.gz: the OpenAPI definitions of every type that the hub serves, with
// their descriptions, from the sources of k8s.io/api.
//
// It runs in two steps, because the first writes the Go package that the second imports: openapi-gen turns the types and
// their comments into models/ (not committed: 3 MB of Go), then emit/ turns that into compressed JSON. `go generate
// ./internal/hub/openapi` runs it; it is needed only when a group is added (a line here and one in emit) or k8s.io/api moves.
package main

import (
	"fmt"
	"os"
	"os/exec"
)

// packages hold the types; those of meta are reached from all others.
var packages = []string{
	"k8s.io/api/apps/v1",
	"k8s.io/api/authentication/v1",
	"k8s.io/api/authorization/v1",
	"k8s.io/api/autoscaling/v1",
	"k8s.io/api/certificates/v1",
	"k8s.io/api/coordination/v1",
	"k8s.io/api/core/v1",
	"k8s.io/api/discovery/v1",
	"k8s.io/api/events/v1",
	"k8s.io/api/policy/v1",
	"k8s.io/api/rbac/v1",
	"k8s.io/api/scheduling/v1",
	"k8s.io/apimachinery/pkg/api/resource",
	"k8s.io/apimachinery/pkg/apis/meta/v1",
	"k8s.io/apimachinery/pkg/runtime",
	"k8s.io/apimachinery/pkg/util/intstr",
	"k8s.io/apimachinery/pkg/version",
}

func main() {
	gen := append([]string{"tool", "openapi-gen", "--output-dir", "models", "--output-pkg", "sampan.dev/tools/openapi/models",
		"--output-file", "models.go", "--report-filename", os.DevNull}, packages...)
	run(gen...)
	run("run", "./emit", "../../internal/hub/openapi")
}

func run(args ...string) {
	c := exec.Command("go", args...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "openapi: go %s: %v\n", args[0], err)
		os.Exit(1)
	}
}
