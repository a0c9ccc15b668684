package parts

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"

	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
)

// What a process writes of its parts is what is read, by those who ask for that process.
func TestTellAndRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config.Config{DataDir: t.TempDir(), NodeName: "n", Listen: "0.0.0.0:1"}
		paths := cfg.Paths()
		if err := os.MkdirAll(paths.Run, 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(paths.Run)
		ctx, cancel := context.WithCancel(t.Context())
		g := daemon.NewGroup(ctx, slog.New(slog.DiscardHandler))
		Tell(g, cfg, paths)
		f, err := Read(paths, os.Getpid())
		if err != nil || f.Ready || len(f.Parts) != 0 || f.Node != "n" || f.Listen != "0.0.0.0:1" {
			t.Errorf("before any part: %+v, %v", f, err)
		}
		g.Go("a", func(ctx context.Context) error { <-ctx.Done(); return nil })
		g.Settle()
		synctest.Wait()
		f, err = Read(paths, os.Getpid())
		if err != nil || !f.Ready || len(f.Parts) != 1 || f.Parts[0].Name != "a" || !f.Parts[0].Running {
			t.Errorf("with a part: %+v, %v", f, err)
		}
		if _, err := Read(paths, os.Getpid()+1); err == nil {
			t.Error("another process is believed to have written it")
		}
		cancel()
		_ = g.Wait()
	})
}
