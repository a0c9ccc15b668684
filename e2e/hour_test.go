//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestFirstHour runs what a newcomer types, in the order in which they meet it. The scripts make clusters of their own, by name.
func TestFirstHour(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("real containers need root")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/hour",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", binaries(t)+":"+env.Getenv("PATH"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("NAME", fmt.Sprintf("e2e-%d-%s", os.Getpid(), strings.TrimPrefix(strings.ToLower(filepath.Base(env.WorkDir)), "script-")))
			env.Setenv("SAMPAN_CONFIG", filepath.Join(env.WorkDir, "config.yaml"))
			config := filepath.Join(env.WorkDir, "config.yaml")
			if _, err := os.Stat(config); err != nil {
				if err := os.WriteFile(config, nil, 0o600); err != nil {
					return err
				}
			}
			env.Defer(func() {
				cmd := exec.Command(filepath.Join(binaries(t), "sampan"), "purge", "--yes", "--name", env.Getenv("NAME"))
				cmd.Env = append(os.Environ(), "HOME="+env.WorkDir)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("purge: %v\n%s", err, out)
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"eventually": eventually,
			"jsonhas":    jsonhas,
			"registry":   registry,
		},
	})
}

// jsonhas FILE FIELD VALUE: the JSON object in a file has a field of that value, or with "*" any.
func jsonhas(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: jsonhas FILE FIELD VALUE")
	}
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &object))
	value, there := object[args[1]]
	text, _ := value.(string)
	if has := there && (args[2] == "*" || text == args[2]); has == neg {
		ts.Fatalf("%s is %v", args[1], value)
	}
}

// registry FILE: a registry without images, whose address is $REGISTRY from then on; what it is asked is written to FILE, a line each.
func registry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: registry FILE")
	}
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		fmt.Fprintf(f, "%s %s %s:%s\n", r.Method, r.URL.Path, user, password)
		http.NotFound(w, r)
	}))
	ts.Setenv("REGISTRY", strings.TrimPrefix(s.URL, "http://"))
	ts.Defer(func() {
		s.Close()
		f.Close()
	})
}
