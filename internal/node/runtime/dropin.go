package runtime

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// dropIns are the configuration files of others: what they say goes before what ours does.
func (c *Containerd) dropIns() []string {
	var out []string
	for _, dir := range c.DropIns {
		files, _ := filepath.Glob(filepath.Join(dir, "*.toml")) // sorted
		out = append(out, files...)
	}
	return out
}

// unused are the plugins that are left out because nobody uses them: those of disabled but for the ones that a drop-in speaks of.
func (c *Containerd) unused() []string {
	var texts []string
	for _, file := range c.dropIns() {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // containerd will say so
		}
		texts = append(texts, string(data))
	}
	return slices.DeleteFunc(slices.Clone(disabled), func(plugin string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, plugin) })
	})
}

// configMark begins the first line of our configuration file; the hash of the rest follows.
const configMark = "# made by sampan, which makes it anew when its own part changes; put changes into files in containerd.d beside the folder of this one. "

// stamped puts the mark in front of a configuration.
func stamped(text string) string { return configMark + hashOf(text) + "\n" + text }

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// writeConfig writes the configuration file. One that somebody has edited stays until our part of it changes; then it is kept
// under another name. On a disk that is full a file can be read and perhaps not be written again, even with the same content.
func (c *Containerd) writeConfig() error {
	text := c.config()
	have, err := os.ReadFile(c.configFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	first, rest, _ := strings.Cut(string(have), "\n")
	if hash, ours := strings.CutPrefix(first, configMark); ours && hash != hashOf(rest) {
		if hash == hashOf(text) {
			c.Log.Warn("containerd's configuration was edited and is used as it is; a file in a folder of drop-ins would outlast an upgrade", "file", c.configFile(), "folders", c.DropIns)
			return nil
		}
		c.Log.Warn("containerd's configuration was edited and is made anew, since our part of it has changed", "kept", c.configFile()+".edited", "folders", c.DropIns)
		if err := os.Rename(c.configFile(), c.configFile()+".edited"); err != nil {
			return err
		}
	}
	if want := stamped(text); string(have) != want {
		return os.WriteFile(c.configFile(), []byte(want), 0o600)
	}
	return nil
}

// logMost is how large the logs of containerd and the monitor may grow; what is beyond becomes the one older file that is kept.
const logMost = 16 << 20

// shrink empties a log that has grown too large, after a copy of it. The process that writes it appends and need not know.
func shrink(path string, most int64) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() <= most {
		return nil // it comes with the first line
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := in.Seek(info.Size()-most, io.SeekStart); err != nil {
		return err
	}
	out, err := os.OpenFile(path+".1", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		_ = os.Remove(path + ".1") // the disk may be full: then the log goes without a copy
		return errors.Join(fmt.Errorf("keep the end of %s: %w", path, err), os.Truncate(path, 0))
	}
	return os.Truncate(path, 0)
}

// shrinkLogs bounds what is written by those who do not bound it themselves.
func (c *Containerd) shrinkLogs() {
	logs, _ := filepath.Glob(filepath.Join(c.State, "monitor*.log"))
	for _, path := range append(logs, c.logFile()) {
		if err := shrink(path, logMost); err != nil {
			c.Log.Warn("log not turned over", "error", err)
		}
	}
}
