package side

import (
	"io"
	"os"
	"path/filepath"
)

// beside are the programs that sampan finds in its own folder.
var beside = []string{"sampan", "sampan-cni", "sampan-keep", "containerd", "containerd-shim-runc-v2", "sampan-shim", "sampan-monitor", "runc", "kubectl", "pause", "pause.tar"}

// Freeze gives the programs second names in a folder, so that a build meanwhile does not change what is measured, and returns
// where sampan is there.
func Freeze(bin, dir string) (string, error) {
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, name := range beside {
		from, to := filepath.Join(filepath.Dir(bin), name), filepath.Join(dir, name)
		if _, err := os.Stat(from); os.IsNotExist(err) && name != "sampan" {
			continue
		}
		if os.Link(from, to) == nil {
			continue
		}
		if err := copyFile(from, to); err != nil {
			return "", err
		}
	}
	return filepath.Abs(filepath.Join(dir, "sampan"))
}

// copyFile is for folders on another file system.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
