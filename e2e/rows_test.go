//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// rowsAudit records what a node says of itself when it registers, and who else writes what.
const rowsAudit = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Request, verbs: [create], resources: [{group: "", resources: [nodes]}]}
- {level: Metadata, verbs: [create, update, patch, delete]}
`

// TestRows runs a script for each behaviour of rows.tsv that a cluster of two nodes shows by itself: the scripts are named after the rows.
func TestRows(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "audit.yaml")
	if err := os.WriteFile(policy, []byte(rowsAudit), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, "--nodes", "2", "--hostname-override", "rows", "--node-labels", "node-labels.example.com/rack=7", "--audit-policy-file", policy)
	net := func(flag string) string {
		for i, f := range c.flags {
			if f == flag {
				return strings.TrimSuffix(c.flags[i+1], ".0.0/16")
			}
		}
		return ""
	}
	params := testscript.Params{
		Setup: func(env *testscript.Env) error {
			if err := c.setup(env); err != nil {
				return err
			}
			env.Setenv("N1", "rows")
			env.Setenv("N2", "rows-2")
			env.Setenv("POD_NET", net("--cluster-cidr"))
			env.Setenv("SERVICE_NET", net("--service-cidr"))
			env.Setenv("UP", strings.Join(c.flags, " "))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"eventually": eventually, "background": background},
	}
	// The scripts of a folder run side by side, each in a namespace of its own; those that disturb the whole cluster have folders of their own.
	for _, part := range []string{"together", "alone", "cordoned", "tainted", "restarted"} {
		t.Run(part, func(t *testing.T) {
			params.Dir = "testdata/rows/" + part
			testscript.Run(t, params)
		})
	}
}
