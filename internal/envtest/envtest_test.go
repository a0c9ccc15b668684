package envtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSelection(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "off": "", "0": "", "on": "namespace-controller garbage-collector-controller", "TRUE": "namespace-controller garbage-collector-controller",
		"*": "*", "*,-gc": "* -gc",
	} {
		if got := strings.Join(selection(value), " "); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

// The folder can be made again for another program; what is not a link of ours is left alone.
func TestAssets(t *testing.T) {
	dir := t.TempDir()
	program, kubectl, assets := filepath.Join(dir, "sampan"), filepath.Join(dir, "kubectl"), filepath.Join(dir, "a", "b")
	for _, f := range []string{program, kubectl} {
		if err := os.WriteFile(f, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := Assets(assets, program, filepath.Join(dir, "none")); err == nil {
		t.Error("without a kubectl")
	}
	for range 2 {
		if err := Assets(assets, program, kubectl); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"kube-apiserver": program, "etcd": program, "kubectl": kubectl} {
		if to, err := os.Readlink(filepath.Join(assets, name)); to != want {
			t.Errorf("%s leads to %q %v", name, to, err)
		}
	}
	if err := os.Remove(filepath.Join(assets, "etcd")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(assets, "etcd"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Assets(assets, program, kubectl); err == nil || !strings.Contains(err.Error(), "is no link") {
		t.Error(err)
	}
}
