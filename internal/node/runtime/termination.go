package runtime

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	corev1 "k8s.io/api/core/v1"
)

// Limits of termination messages, upstream's.
const (
	maxTerminationMessage = 4096
	maxTerminationLog     = 2048
	maxTerminationLines   = 80
)

// terminationMessage reads what an exited container left at its termination message path, or at the end of its log when
// that is empty, the container failed and its policy says so.
func terminationMessage(c *Container) string {
	fallback := c.TerminationPolicy == corev1.TerminationMessageFallbackToLogsOnError && c.ExitCode != 0 && c.Reason != "ContainerCannotRun"
	for _, m := range c.Mounts {
		if c.TerminationPath == "" || m.ContainerPath != c.TerminationPath && m.ContainerPath != "/"+c.TerminationPath {
			continue
		}
		data, err := tail(m.HostPath, maxTerminationMessage)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return fmt.Sprintf("Error on reading termination log %s: %v", m.HostPath, err)
		}
		if len(data) > 0 {
			return string(data)
		}
		break
	}
	if !fallback || c.LogPath == "" {
		return ""
	}
	data, err := tail(c.LogPath, 8*maxTerminationLog)
	if err != nil {
		return fmt.Sprintf("Error on reading termination message from logs: %v", err)
	}
	return lastLines(data)
}

// tail reads the last limit bytes of a file.
func tail(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(max(0, end-limit), io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// lastLines takes the text out of the last lines of a CRI log ("TIME stdout F text").
func lastLines(log []byte) string {
	var lines [][]byte
	sc := bufio.NewScanner(bytes.NewReader(log))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		parts := bytes.SplitN(sc.Bytes(), []byte(" "), 4)
		if len(parts) < 4 || len(parts[2]) == 0 {
			continue // cut off at its beginning
		}
		text := append([]byte(nil), parts[3]...)
		if parts[2][0] == 'F' {
			text = append(text, '\n')
		}
		lines = append(lines, text)
	}
	if len(lines) > maxTerminationLines {
		lines = lines[len(lines)-maxTerminationLines:]
	}
	out := bytes.Join(lines, nil)
	if len(out) > maxTerminationLog {
		out = out[len(out)-maxTerminationLog:]
	}
	return string(out)
}
