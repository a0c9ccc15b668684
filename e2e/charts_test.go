//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestCharts installs charts by stock helm. charts.sh runs it, which fetches helm.
func TestCharts(t *testing.T) {
	helm := os.Getenv("SAMPAN_HELM")
	if helm == "" {
		t.Skip("SAMPAN_HELM names no helm; charts.sh fetches one")
	}
	c := start(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/charts",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(helm)+":"+env.Getenv("PATH"))
			return c.setup(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"eventually": eventually},
	})
}
