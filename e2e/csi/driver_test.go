package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
)

// TestSanity is the suite of the interface's makers for drivers.
func TestSanity(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting takes root")
	}
	dir, err := os.MkdirTemp("", "csi") // t.TempDir's names are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	d := &driver{name: "csi.e2e.sampan.dev", node: "n", state: filepath.Join(dir, "volumes")}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	t.Cleanup(func() { cancel(); <-done; os.RemoveAll(dir) })
	endpoint := filepath.Join(dir, "csi.sock")
	if err := os.MkdirAll(d.state, 0o755); err != nil {
		t.Fatal(err)
	}
	go func() { done <- d.run(ctx, endpoint, "") }()
	cfg := sanity.NewTestConfig()
	cfg.Address = endpoint
	cfg.TargetPath, cfg.StagingPath = filepath.Join(dir, "target"), filepath.Join(dir, "staging")
	cfg.TestNodeVolumeAttachLimit = false
	sanity.Test(t, cfg)
}
