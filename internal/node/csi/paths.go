package csi

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sampan.dev/internal/api/volumes"

	"k8s.io/apimachinery/pkg/types"
)

const (
	pluginName = volumes.CSI
	podFolder  = "kubernetes.io~csi" // of volumes below a pod's directory
	dataFile   = "vol_data.json"
)

// layout is where things lie below the kubelet's root.
type layout string

func (l layout) plugin() string           { return filepath.Join(string(l), "plugins", "kubernetes.io", "csi") }
func (l layout) pod(uid types.UID) string { return filepath.Join(string(l), "pods", string(uid)) }

// volumes is the folder of a pod's CSI volumes, each of which has a folder with a data file and a mount.
func (l layout) volumes(uid types.UID) string {
	return filepath.Join(l.pod(uid), "volumes", podFolder)
}

// devices is the folder of a pod's block devices: links, by the volume's name.
func (l layout) devices(uid types.UID) string {
	return filepath.Join(l.pod(uid), "volumeDevices", podFolder)
}

// global is where a file system is staged.
func (l layout) global(driver, handle string) string {
	return filepath.Join(l.plugin(), driver, fmt.Sprintf("%x", sha256.Sum256([]byte(handle))), "globalmount")
}

func (l layout) blocks() string                  { return filepath.Join(l.plugin(), "volumeDevices") }
func (l layout) blockStaging(spec string) string { return filepath.Join(l.blocks(), "staging", spec) }
func (l layout) blockPublish(spec string) string { return filepath.Join(l.blocks(), "publish", spec) }
func (l layout) blockData(spec string) string    { return filepath.Join(l.blocks(), spec, "data") }
func (l layout) blockDevices(spec string) string { return filepath.Join(l.blocks(), spec, "dev") }
func (l layout) blockFolder(spec string) string  { return filepath.Join(l.blocks(), spec) }
func escaped(name string) string                 { return strings.ReplaceAll(name, "/", "~") }

// inlineHandle is the handle of a volume that lives as long as its pod.
func inlineHandle(uid types.UID, volume string) string {
	return fmt.Sprintf("csi-%x", sha256.Sum256([]byte(string(uid)+volume)))
}

// data is what a data file says of a volume. The keys are upstream's.
type data struct {
	Spec       string `json:"specVolID,omitempty"`
	Handle     string `json:"volumeHandle"`
	Driver     string `json:"driverName"`
	Node       string `json:"nodeName,omitempty"`
	Attachment string `json:"attachmentID,omitempty"`
	Lifecycle  string `json:"volumeLifecycleMode,omitempty"`
}

// save writes a data file, which is whole or not there after a crash.
func (d data) save(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, dataFile)
	if have, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(have)) == string(text) {
		return nil
	}
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("failed to save volume data file %s: %w", path, err)
	}
	return os.Rename(path+".new", path)
}

// load reads the data file of a folder; ok is false when there is none.
func load(dir string) (d data, ok bool, err error) {
	text, err := os.ReadFile(filepath.Join(dir, dataFile))
	if errors.Is(err, fs.ErrNotExist) {
		return d, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		return d, false, fmt.Errorf("failed to parse volume data file [%s]: %w", filepath.Join(dir, dataFile), err)
	}
	return d, true, nil
}

// folders lists the names in a folder, which need not be there.
func folders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out, err
}

// removeMount removes a folder that a driver has mounted on and unmounted from, the data file beside it and the folder of both. A folder
// that is still mounted on, or has files in it, cannot be removed.
func removeMount(mount string) error {
	dir := filepath.Dir(mount)
	for _, path := range []string{mount, filepath.Join(dir, dataFile), dir} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
