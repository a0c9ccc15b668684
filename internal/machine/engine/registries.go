package engine

import (
	"path/filepath"
	"sync"

	"sampan.dev/internal/config"
	"sampan.dev/internal/node/registry"
)

// registries are where registries are described. Of the usual places containerd's documentation and Docker's tell people.
func registries(paths config.Paths) registry.Sources {
	return registry.Sources{
		Own:   filepath.Join(paths.Data, "certs.d"),
		Files: []string{filepath.Join(paths.Data, "registries.yaml"), "/etc/sampan/registries.yaml"},
		Usual: []string{"/etc/containerd/certs.d", "/etc/docker/certs.d"},
	}
}

func registryHosts(paths config.Paths) string { return filepath.Join(paths.Data, "registries") }

// CheckRegistries finds out whether the description of registries can be honoured.
func CheckRegistries(paths config.Paths) error {
	_, err := registries(paths).Read()
	return err
}

// WriteRegistries returns what makes containerd's one folder of registries' hosts say what all descriptions do. It is called before each
// pull, so that a change needs no restart, and a machine where nothing is pulled pays nothing.
func WriteRegistries(paths config.Paths) func() error {
	var one sync.Mutex // pulls go on side by side
	return func() error {
		one.Lock()
		defer one.Unlock()
		return registry.Write(registryHosts(paths), registries(paths))
	}
}
