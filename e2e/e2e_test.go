//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the scripts of testdata on one cluster that they share.
func TestScripts(t *testing.T) {
	c := start(t)
	params := testscript.Params{
		Setup: c.setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"eventually": eventually,
			"background": background,
		},
		Condition: func(string) (bool, error) { return true, nil }, // [volumes]: the cluster makes volumes for claims
	}
	// Scripts run side by side, each in a namespace of its own; those that disturb the whole cluster run afterwards.
	t.Run("together", func(t *testing.T) {
		params.Dir = "testdata"
		testscript.Run(t, params)
	})
	t.Run("alone", func(t *testing.T) {
		params.Dir = "testdata/serial"
		testscript.Run(t, params)
	})
}

// setup gives a script its namespace and the binaries on its path.
func (c *cluster) setup(env *testscript.Env) error {
	ns := "e2e-" + strings.ToLower(filepath.Base(env.WorkDir))
	ns = strings.NewReplacer("script-", "", "_", "-").Replace(ns)
	env.Setenv("PATH", c.bin+":"+env.Getenv("PATH"))
	env.Setenv("KUBECONFIG", filepath.Join(env.WorkDir, "kubeconfig"))
	env.Setenv("ADMIN", c.kubeconfig)
	env.Setenv("NS", ns)
	env.Setenv("DATA", c.dir)
	env.Setenv("PORT", c.port)
	env.Setenv("HOME", env.WorkDir)
	config, err := os.ReadFile(c.kubeconfig)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(env.WorkDir, "kubeconfig"), config, 0o600); err != nil {
		return err
	}
	kubectl := func(args ...string) error {
		cmd := exec.Command(filepath.Join(c.bin, "kubectl"), append([]string{"--kubeconfig", filepath.Join(env.WorkDir, "kubeconfig")}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("kubectl %v: %w\n%s", args, err, out)
		}
		return nil
	}
	env.Defer(func() { _ = kubectl("delete", "namespace", ns, "--ignore-not-found", "--wait=false") })
	if err := kubectl("create", "namespace", ns); err != nil {
		return err
	}
	return kubectl("config", "set-context", "--current", "--namespace", ns)
}

// eventually DURATION command… repeats a command until it succeeds (or, negated, fails) or the time is over. It is for what
// has no event to wait for, such as a packet's way through a new rule.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: eventually DURATION command…")
	}
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	limit *= patience
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		err := ts.Exec(args[1], args[2:]...)
		if (err == nil) != neg {
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("eventually %v: not within %v: %v", args[1:], limit, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// background FILE command… runs a command until the script ends, its output in FILE, which is logged at the end.
func background(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: background FILE command…")
	}
	out, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	path := args[1]
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, args[1])); err == nil {
			path = filepath.Join(dir, args[1])
			break
		}
	}
	cmd := exec.Command(path, args[2:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = ts.MkAbs(".")
	for _, k := range []string{"PATH", "KUBECONFIG", "HOME"} {
		cmd.Env = append(cmd.Env, k+"="+ts.Getenv(k))
	}
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		out.Close()
		if said, err := os.ReadFile(out.Name()); err == nil {
			ts.Logf("%v wrote:\n%s", args[1:], said)
		}
	})
}
