package engine

import (
	"path/filepath"
	"sync"

	"sampan.dev/internal/config"
	"sampan.dev/internal/node/registry"
)

// registries are where registries are described: in the node's data directory, in that of its cluster where a machine runs several
// nodes, and on the machine. Of the usual places containerd's documentation and Docker's tell people.
func registries(paths config.Paths) registry.Sources {
	s := registry.Sources{Usual: []string{"/etc/containerd/certs.d", "/etc/docker/certs.d"}}
	for _, dir := range []string{paths.Data, config.Above(paths.Data)} {
		if dir != "" {
			s.Own = append(s.Own, filepath.Join(dir, "certs.d"))
			s.Files = append(s.Files, filepath.Join(dir, "registries.yaml"))
		}
	}
	s.Files = append(s.Files, "/etc/sampan/registries.yaml")
	return s
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
