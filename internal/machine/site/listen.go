package site

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"sampan.dev/internal/config"
	"sampan.dev/internal/pki"

	"golang.org/x/sys/unix"
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
	at := pick(dir, All())
	chosen.Store(&at)
	return at
}

// chosen is where this process's cluster listens if nobody said so and no earlier start did: what Keep may still change.
var chosen atomic.Pointer[string]

// pick is the address with the first port that none of the other clusters has and nobody listens on.
func pick(dir string, clusters []Site) string {
	kept := portsOf(dir, clusters)
	port := choose(func(p int) bool { return !slices.Contains(kept, p) && free(p) })
	return net.JoinHostPort("0.0.0.0", strconv.Itoa(port))
}

// portsOf are the ports that clusters elsewhere than in dir keep.
func portsOf(dir string, clusters []Site) (kept []int) {
	for _, s := range clusters {
		if s.Dir != dir {
			kept = append(kept, portOf(s.Dir))
		}
	}
	return kept
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

// Keep writes down what a cluster that starts is called and where it listens, if that was chosen for it. Where another cluster has
// written the same port down since it was chosen, cfg.Listen becomes another. cfg has been checked and its data directory claimed.
func Keep(cfg *config.Config) error {
	at := chosen.Load()
	return Usual().keep(cfg, at != nil && *at == cfg.Listen, All)
}

// keep holds the lock on the place of clusters from its look at what others have written until it has written itself: of two that
// chose the same port the second sees the first.
func (h Home) keep(cfg *config.Config, choose bool, clusters func() []Site) error {
	if err := h.Note(cfg.DataDir); err != nil {
		return err
	}
	_, err := os.Stat(listenFile(cfg.DataDir))
	switch {
	case cfg.Name == "" && errors.Is(err, fs.ErrNotExist), cfg.Name == Default, cfg.Server != "" || cfg.Kubeconfig != "":
		return nil
	}
	if err != nil && choose {
		unlock, err := h.lock()
		if err != nil {
			return err
		}
		defer unlock()
		all := clusters()
		_, port, _ := net.SplitHostPort(cfg.Listen)
		if n, _ := strconv.Atoi(port); slices.Contains(portsOf(cfg.DataDir, all), n) {
			cfg.Listen = pick(cfg.DataDir, all)
		}
	}
	return pki.WriteFile(listenFile(cfg.DataDir), []byte(cfg.Listen+"\n"), 0o600)
}

// lock waits for the lock on the place of clusters, which lies on the folder itself: nothing is left behind.
func (h Home) lock() (unlock func(), err error) {
	f, err := os.Open(string(h))
	if err != nil {
		return nil, fmt.Errorf("list of clusters: %w", err)
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock the list of clusters: %w", err)
	}
	return func() { f.Close() }, nil
}
