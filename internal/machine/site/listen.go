package site

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sampan.dev/internal/config"
	"sampan.dev/internal/pki"
)

// firstPort is where API servers listen, and where the search for another port begins.
const firstPort = 6443

func listenFile(dir string) string { return filepath.Join(dir, "listen") }

// Listen is where the API server of a data directory listens when nobody says: where it did before, if it was given no port then
// either; for a named cluster the first port from 6443 on that no cluster of this machine has and nobody listens on; else "".
func Listen(dir string, named bool) string {
	if data, err := os.ReadFile(listenFile(dir)); err == nil {
		return strings.TrimSpace(string(data))
	}
	if !named {
		return ""
	}
	var kept []int
	for _, s := range All() {
		if s.Dir != dir {
			kept = append(kept, portOf(s.Dir))
		}
	}
	port := choose(func(p int) bool { return !slices.Contains(kept, p) && free(p) })
	return net.JoinHostPort("0.0.0.0", strconv.Itoa(port))
}

// choose is the first port that may be taken; the usual one when none may.
func choose(may func(port int) bool) int {
	for p := firstPort; p < firstPort+1000; p++ {
		if may(p) {
			return p
		}
	}
	return firstPort
}

// portOf is the port that a cluster keeps. The cluster in the default place has the usual one, also while it is down.
func portOf(dir string) int {
	data, err := os.ReadFile(listenFile(dir))
	if err != nil {
		if dir == config.DefaultDataDir {
			return firstPort
		}
		return 0
	}
	_, port, _ := net.SplitHostPort(strings.TrimSpace(string(data)))
	n, _ := strconv.Atoi(port)
	return n
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// Keep writes down what a cluster that starts is called and where it listens, if that was chosen for it. cfg has been checked and its
// data directory claimed.
func Keep(cfg config.Config) error { return Usual().keep(cfg) }

func (h Home) keep(cfg config.Config) error {
	if err := h.Note(cfg.DataDir); err != nil {
		return err
	}
	_, err := os.Stat(listenFile(cfg.DataDir))
	switch {
	case cfg.Name == "" && errors.Is(err, fs.ErrNotExist), cfg.Name == Default, cfg.Server != "" || cfg.Kubeconfig != "":
		return nil
	}
	return pki.WriteFile(listenFile(cfg.DataDir), []byte(cfg.Listen+"\n"), 0o600)
}
