package cloud

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/flag/flagtest"

	"github.com/spf13/pflag"
)

// The list is that of the sample of k8s.io/cloud-provider, which hides two old flags and registers no JSON log.
func TestFlags(t *testing.T) {
	flagtest.Check(t, "cloud-controller-manager", func() flag.Table { return New().Table() },
		"allow-untagged-cloud", "node-sync-period", "log-json-info-buffer-size", "log-json-split-stream")
}

func TestManagerOfTheFlags(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, bad := write("good.yaml", "machines: []\n"), write("bad.yaml", "machnies: []\n")
	for _, c := range []struct{ args, want string }{
		{"", "--cloud-provider cannot be empty"},
		{"--cloud-provider=gce", `unknown cloud provider "gce"`},
		{"--cloud-provider=file", "a cloud configuration file is needed"},
		{"--cloud-provider=file --cloud-config=" + bad, `unknown field "machnies"`},
		{"--cloud-provider=file --cloud-config=" + good, ""},
		{"--cloud-provider=file --cloud-config=/nonesuch", "no such file"},
	} {
		cfg := New()
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		cfg.Flags(fs)
		err := fs.Parse(strings.Fields(c.args))
		if err == nil {
			_, err = cfg.manager(slog.New(slog.DiscardHandler))
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: %v, want %q", c.args, err, c.want)
		}
	}
}
