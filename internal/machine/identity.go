package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	nodeflag "sampan.dev/internal/component/kubelet"
	"sampan.dev/internal/config"
	"sampan.dev/internal/node/hostnet"
	"sampan.dev/internal/pki"
)

func nodeNameFile(cfg config.Config) string { return filepath.Join(cfg.DataDir, "node-name") }

// KeepNodeName makes a node keep the name that it first had: its pods, certificates and Node object go by it, and the host may be
// called otherwise tomorrow. A flag changes it.
func KeepNodeName(cfg *config.Config, log *slog.Logger) error {
	file := nodeNameFile(*cfg)
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("name of this node: %w", err)
	}
	kept, flag := strings.TrimSpace(string(data)), cfg.NodeName != ""
	name, err := cfg.Node()
	if err != nil && (kept == "" || flag) { // a host that is called what no node can be called matters to a new node only
		return err
	}
	switch {
	case kept == name:
		return nil
	case kept != "" && !flag:
		log.Warn("the host has another name than when this node was made; the node keeps its own", "node", kept, "host", name)
		cfg.NodeName = kept
		return nil
	case kept != "":
		log.Warn("this node gets another name; the Node object and the pods of the old one stay until somebody deletes them", "node", name, "before", kept)
	}
	if err := pki.WriteFile(file, []byte(name+"\n"), 0o600); err != nil {
		return fmt.Errorf("name of this node: %w", err)
	}
	return nil
}

// NodeAddresses are those that the kubelet's serving certificate names.
func NodeAddresses(cfg config.Config) []net.IP {
	if ips, _ := nodeflag.NodeIPs(cfg.NodeIP); len(ips) > 0 {
		return ips
	}
	ip, err := hostnet.Address()
	if err != nil {
		return nil
	}
	return []net.IP{ip}
}
