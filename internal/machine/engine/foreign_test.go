package engine

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sampan.dev/internal/config"
)

// What is installed for somebody else's runtime is what it lacks, and that alone is taken away: not a plugin that was there, not
// a folder that was there, and never the folder of configurations, which the runtime watches.
func TestForeignRuntimeFiles(t *testing.T) {
	for _, test := range []struct {
		name        string
		there       []string // before
		added       []string // by others, while it is installed
		want, after []string
	}{
		{"nothing was there", nil, nil, []string{"bin", "bin/loopback", "bin/sampan-cni"}, nil},
		{"an empty folder was there", []string{"bin/"}, nil, []string{"bin", "bin/loopback", "bin/sampan-cni"}, []string{"bin"}},
		{"plugins were there", []string{"bin/", "bin/loopback", "bin/bridge"}, nil,
			[]string{"bin", "bin/bridge", "bin/loopback", "bin/sampan-cni"}, []string{"bin", "bin/bridge", "bin/loopback"}},
		{"plugins come later", nil, []string{"bin/bridge"},
			[]string{"bin", "bin/loopback", "bin/sampan-cni"}, []string{"bin", "bin/bridge"}},
		{"another cluster's plugin was there", []string{"bin/", "bin/loopback", "bin/sampan-cni"}, nil,
			[]string{"bin", "bin/loopback", "bin/sampan-cni"}, []string{"bin", "bin/loopback", "bin/sampan-cni"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			top := t.TempDir()
			place := filepath.Join(top, "place")
			if err := os.MkdirAll(filepath.Join(place, "net.d"), 0o755); err != nil {
				t.Fatal(err)
			}
			make := func(list []string) {
				for _, f := range list {
					var err error
					if path := filepath.Join(place, f); f[len(f)-1] == '/' {
						err = os.MkdirAll(path, 0o755)
					} else {
						err = os.WriteFile(path, []byte("theirs"), 0o755)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			make(test.there)
			paths := config.Paths{Data: filepath.Join(top, "data"), Bin: filepath.Join(top, "ours")}
			err := errors.Join(os.MkdirAll(paths.Data, 0o700), os.MkdirAll(paths.Bin, 0o700), os.WriteFile(filepath.Join(paths.Bin, cniPlugin), []byte("plugin"), 0o755))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // every start installs
				if err := installPlugins(paths, filepath.Join(place, "bin"), filepath.Join(place, "net.d")); err != nil {
					t.Fatal(err)
				}
			}
			if got := below(place); !slices.Equal(got, append(slices.Clone(test.want), "net.d")) {
				t.Errorf("installed %v, want %v", got, test.want)
			}
			make(test.added)
			if err := os.WriteFile(filepath.Join(place, "net.d", cniConfName), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			in, err := readInstalled(paths)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := in.remove(); err != nil {
					t.Error(err)
				}
			}
			if got := below(place); !slices.Equal(got, append(slices.Clone(test.after), "net.d")) {
				t.Errorf("left %v, want %v", got, test.after)
			}
			for _, f := range test.there {
				if data, err := os.ReadFile(filepath.Join(place, f)); f[len(f)-1] != '/' && (err != nil || string(data) != "theirs") {
					t.Errorf("%s was changed: %q, %v", f, data, err)
				}
			}
		})
	}
}

func below(top string) (out []string) {
	_ = filepath.WalkDir(top, func(path string, _ os.DirEntry, _ error) error {
		if rel, _ := filepath.Rel(top, path); rel != "." {
			out = append(out, rel)
		}
		return nil
	})
	return out
}

// A cluster that an earlier version made has no list; what it installed had fixed names.
func TestForeignRuntimeOfOld(t *testing.T) {
	paths := config.Paths{Data: t.TempDir()}
	if err := LeaveForeign(context.Background(), paths, slog.New(slog.DiscardHandler)); err != nil {
		t.Error("nothing was used:", err)
	}
	in, err := readInstalled(paths)
	if data, _ := json.Marshal(in); err != nil || len(in.Files) != 1 || in.Files[0] != filepath.Join(usualCNIBin, cniPlugin) {
		t.Errorf("%s, %v", data, err)
	}
}
