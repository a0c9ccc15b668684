package kubelet

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/flag/flagtest"

	"github.com/spf13/pflag"
)

func TestFlags(t *testing.T) {
	flagtest.Check(t, "kubelet", func() flag.Table { return New().Table() })
	flagtest.Fields(t, "KubeletConfiguration", New().Table())
}

// TestManifestHeader reads the header of the URL of manifests from flags that add up.
func TestManifestHeader(t *testing.T) {
	var h http.Header
	v := header{&h}
	for _, s := range []string{"a:hello,b:again,c:world", "b:beautiful", "d: e:f"} {
		if err := v.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	if got := v.String(); got != "A:hello,B:again,B:beautiful,C:world,D:e:f" {
		t.Error(got)
	}
	for _, bad := range []string{"x", ":v", "a b:c"} {
		if err := v.Set(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestUnreviewed says whom a kubelet without an API server lets in: without a file everybody, with one nobody who does not say so.
func TestUnreviewed(t *testing.T) {
	for _, c := range []struct {
		file string
		args []string
		want string
	}{
		{"", nil, "true true 10255"},
		{"", []string{"--anonymous-auth=false", "--read-only-port=0"}, "false true 0"},
		{"maxPods: 3", nil, "no client provided, cannot use webhook authentication"},
		{"maxPods: 3", []string{"--authentication-token-webhook=false"}, "no client provided, cannot use webhook authorization"},
		{"maxPods: 3", []string{"--authentication-token-webhook=false", "--authorization-mode=AlwaysAllow"}, "false true 0"},
		{"authentication: {webhook: {enabled: false}}\nauthorization: {mode: AlwaysAllow}\nreadOnlyPort: 10255", nil, "false true 10255"},
		{"authentication: {webhook: {enabled: false}, anonymous: {enabled: true}}\nauthorization: {mode: AlwaysAllow}", nil, "true true 0"},
	} {
		conf := New()
		table, fs := conf.Table(), pflag.NewFlagSet("", pflag.ContinueOnError)
		table.Add(fs)
		args := c.args
		if c.file != "" {
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, []byte("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"+c.file+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			args = append([]string{"--config", path}, args...)
		}
		if err := flag.Parse(fs, args); err != nil {
			t.Fatal(err)
		}
		if err := conf.Read(table, fs); err != nil {
			t.Fatal(err)
		}
		alone, err := conf.unreviewed(slog.New(slog.DiscardHandler))
		got := fmt.Sprint(alone.Anonymous, " ", alone.AlwaysAllow, " ", conf.ReadOnlyPort)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%q %v: %s, want %s", c.file, c.args, got, c.want)
		}
	}
}
