package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// confName is the configuration that containerd finds in the instance's own folder; foreignName is what stands there
// instead when the machine has a configuration of somebody else (conventions.md K11): a link to it.
const (
	confName    = "10-sampan.conflist"
	foreignName = "00-foreign"
)

// conflist is our network as CNI describes it. Versions up to 1.1 are spoken; older runtimes read cniVersion only.
func conflist(socket string) []byte {
	data, err := json.MarshalIndent(map[string]any{
		"cniVersion":  "1.0.0",
		"cniVersions": []string{"0.4.0", "1.0.0", "1.1.0"},
		"name":        "sampan",
		"plugins": []any{map[string]any{
			"type":         "sampan-cni",
			"socket":       socket,
			"capabilities": map[string]bool{"portMappings": true},
		}},
	}, "", "  ")
	if err != nil {
		panic(err) // made of constants
	}
	return append(data, '\n')
}

// writeConf makes dir hold our configuration and nothing else.
func writeConf(dir, socket string) error {
	if err := clearConf(dir); err != nil {
		return err
	}
	tmp := filepath.Join(dir, ".tmp")
	if err := os.WriteFile(tmp, conflist(socket), 0o600); err != nil {
		return fmt.Errorf("write CNI configuration: %w", err)
	}
	return os.Rename(tmp, filepath.Join(dir, confName))
}

// linkConf makes dir hold a link to a foreign configuration and nothing else.
func linkConf(dir, foreign string) error {
	if err := clearConf(dir); err != nil {
		return err
	}
	return os.Symlink(foreign, filepath.Join(dir, foreignName+filepath.Ext(foreign)))
}

func clearConf(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == confName || strings.HasPrefix(e.Name(), foreignName) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// foreignConf is the configuration of dir that a runtime would take, the lexically first, or "" when there is none.
func foreignConf(dir string) string {
	if dir == "" {
		return ""
	}
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(e.Name())) && e.Name() != confName && !e.IsDir() {
			return filepath.Join(dir, e.Name())
		}
	}
	return ""
}
