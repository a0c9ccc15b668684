package machine

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"

	"sampan.dev/internal/config"
)

// A node has one name over all its starts, whatever the host is called, unless it is given another one.
func TestNodeKeepsItsName(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	host = strings.ToLower(host)
	for _, c := range []struct {
		name        string
		kept, flag  string
		want, after string
		says        string
	}{
		{"the first start", "", "", host, host, ""},
		{"the next one", host, "", host, host, ""},
		{"the host was renamed", "first", "", "first", "first", "node=first host=" + host},
		{"the first start with a flag", "", "Given", "given", "given", ""},
		{"the next one with it", "given", "Given", "given", "given", ""},
		{"the next one without it", "given", "", "given", "given", "keeps its own"},
		{"another name by flag", "first", "second", "second", "second", "node=second before=first"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config.Config{DataDir: t.TempDir(), NodeName: c.flag}
			if c.kept != "" {
				if err := os.WriteFile(nodeNameFile(cfg), []byte(c.kept+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var log bytes.Buffer
			if err := KeepNodeName(&cfg, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
				t.Fatal(err)
			}
			if got, err := cfg.Node(); got != c.want || err != nil {
				t.Errorf("the node is %q, %v; want %q", got, err, c.want)
			}
			if after, _ := os.ReadFile(nodeNameFile(cfg)); strings.TrimSpace(string(after)) != c.after {
				t.Errorf("kept is %q, want %q", after, c.after)
			}
			if (c.says == "") != (log.Len() == 0) || !strings.Contains(log.String(), c.says) {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}
