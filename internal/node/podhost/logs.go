package podhost

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/pattern"

	corev1 "k8s.io/api/core/v1"
)

// MakeLogs makes the directory of a container's logs; "" is that of all logs of the pod.
func (m *Machine) MakeLogs(pod *corev1.Pod, container string) error {
	err := os.MkdirAll(filepath.Join(m.cfg.PodLogs(pod), container), 0o755)
	if err != nil && container != "" {
		return fmt.Errorf("create container log directory for container %s failed: %w", container, err)
	}
	return err
}

// LinkLog makes the link that log shippers look for to the log of a container's run. path is the log's, below the pod's logs.
func (m *Machine) LinkLog(pod *corev1.Pod, container, id, path string) {
	if m.cfg.Links == "-" {
		return
	}
	if err := os.MkdirAll(m.cfg.Links, 0o755); err != nil {
		return
	}
	link := m.cfg.link(pod, container, id)
	os.Remove(link)
	if err := os.Symlink(filepath.Join(m.cfg.PodLogs(pod), path), link); err != nil {
		m.cfg.Log.Debug("log link not made", "path", link, "error", err)
	}
}

// DropLogs removes the log files of one run of a container, and their link.
func (m *Machine) DropLogs(pod *corev1.Pod, c *runtime.Container) {
	if c.LogPath != "" {
		files, _ := filepath.Glob(c.LogPath + "*") // rotated ones too
		for _, f := range files {
			os.Remove(f)
		}
	}
	if m.cfg.Links != "-" {
		os.Remove(m.cfg.link(pod, c.Name, c.ID))
	}
}

var logName = pattern.New(`^(\d+)\.log(\..*)?`)

// Restarts is one more than the highest restart count that a log file of a container is named for: what is known when the runtime
// has forgotten the container.
func (m *Machine) Restarts(pod *corev1.Pod, container string) int {
	entries, _ := os.ReadDir(filepath.Join(m.cfg.PodLogs(pod), container))
	n := 0
	for _, e := range entries {
		if m := logName.FindStringSubmatch(e.Name()); m != nil && !e.IsDir() {
			if i, err := strconv.Atoi(m[1]); err == nil {
				n = max(n, i+1)
			}
		}
	}
	return n
}
