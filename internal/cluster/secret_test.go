package cluster

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"sampan.dev/internal/config"
	"sampan.dev/internal/machine/hold"
)

func TestATokenIsTakenOutOfArguments(t *testing.T) {
	for _, c := range []struct {
		args, rest []string
		token      string
	}{
		{[]string{"agent", "--server", "https://a:1", "--token", "x", "--node-ip", "192.0.2.1"}, []string{"agent", "--server", "https://a:1", "--node-ip", "192.0.2.1"}, "x"},
		{[]string{"agent", "--token=x", "--server=https://a:1"}, []string{"agent", "--server=https://a:1"}, "x"},
		{[]string{"agent", "--token", "x", "--token=y"}, []string{"agent"}, "y"},
		{[]string{"agent", "--token-file", "f", "--token-fd", "3"}, []string{"agent", "--token-file", "f", "--token-fd", "3"}, ""},
		{[]string{"agent", "--token"}, []string{"agent", "--token"}, ""},
	} {
		if rest, token := withoutToken(c.args); !slices.Equal(rest, c.rest) || token != c.token {
			t.Errorf("%q: %q %q", c.args, rest, token)
		}
	}
}

func TestTokenSources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := hold.SecretPipe("from the pipe")
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	inherited, err := syscall.Dup(int(pipe.Fd())) // which is closed when it has been read
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		given  string
		source TokenSource
		want   string
		fails  bool
	}{
		{"given", TokenSource{}, "given", false},
		{"", TokenSource{}, "", false},
		{"", TokenSource{file: file}, "from the file", false},
		{"given", TokenSource{file: file}, "", true},
		{"", TokenSource{file: file + ".none"}, "", true},
		{"", TokenSource{file: os.DevNull}, "", true},
		{"", TokenSource{fd: inherited}, "from the pipe", false},
	} {
		cfg := config.Config{Token: c.given}
		if err := c.source.Settle(&cfg); (err != nil) != c.fails || err == nil && cfg.Token != c.want {
			t.Errorf("%+v: %q %v", c.source, cfg.Token, err)
		}
	}
}
