package parts

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"

	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
)

// File is what a process says of itself. It is true of the process with its number only: one that was killed leaves it behind.
type File struct {
	PID        int            `json:"pid"`
	Build      string         `json:"build"`
	Kubernetes string         `json:"kubernetes"`
	Node       string         `json:"node,omitempty"`   // "": none in this process
	Server     string         `json:"server,omitempty"` // of an agent: the API server elsewhere
	Listen     string         `json:"listen,omitempty"` // of a control plane: where the API server listens
	Pods       string         `json:"clusterCIDR,omitempty"`
	Services   string         `json:"serviceCIDR,omitempty"`
	Ready      bool           `json:"ready"` // all that was asked for has come up
	Parts      []daemon.State `json:"parts"`
}

// Tell writes the file of paths now and whenever a part of g changes. It is called before g has parts. What cannot be written is not told:
// nothing of the cluster depends on it.
func Tell(g *daemon.Group, cfg config.Config, paths config.Paths) {
	f := File{PID: os.Getpid(), Build: config.Build, Kubernetes: config.Version, Pods: cfg.ClusterCIDR, Services: cfg.ServiceCIDR, Server: cfg.Server}
	if !cfg.NoNode {
		f.Node, _ = cfg.Node()
	}
	if cfg.Server == "" && cfg.Kubeconfig == "" {
		f.Listen = cfg.Listen
	}
	var one sync.Mutex // the newest is written last
	write := func() {
		one.Lock()
		defer one.Unlock()
		now := f
		now.Ready, now.Parts = g.Settled(), g.States()
		_ = now.write(paths.Parts)
	}
	g.OnChange(write)
	write()
}

// write puts the file in place as a whole. It is not synced: it is of no use after a crash.
func (f File) write(path string) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Read returns what the process pid says of itself.
func Read(paths config.Paths, pid int) (File, error) {
	data, err := os.ReadFile(paths.Parts)
	if err != nil {
		return File{}, err
	}
	var f File
	if err := json.Unmarshal(data, &f); err != nil {
		return File{}, fmt.Errorf("read %s: %w", paths.Parts, err)
	}
	if f.PID != pid {
		return File{}, fmt.Errorf("%s is of process %d, not of %d", paths.Parts, f.PID, pid)
	}
	return f, nil
}
