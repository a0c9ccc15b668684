package podhost

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"sampan.dev/internal/node/runtime"
)

// logEvery is how often the sizes of log files are looked at (upstream's containerLogMonitorInterval).
const logEvery = 10 * time.Second

// collectAfter is after how many of these looks images are looked at (upstream's ImageGCPeriod, five minutes).
const collectAfter = 30

// Run rotates logs, and evicts pods where the machine is short of something, until ctx ends.
func (m *Machine) Run(ctx context.Context) {
	m.evictions.Look(ctx)
	t := time.NewTicker(logEvery)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			m.rotateLogs(ctx)
			m.evictions.Look(ctx)
			if n%collectAfter == 0 && m.cfg.Collect != nil {
				m.cfg.Collect(ctx)
			}
		}
	}
}

// rotateLogs looks at the newest log file of every container below the log directory; only what has grown beyond the limit
// costs a call to the runtime.
func (m *Machine) rotateLogs(ctx context.Context) {
	var big []string
	_ = filepath.WalkDir(m.cfg.Logs, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".log") {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Size() >= m.cfg.LogMaxSize {
			big = append(big, path)
		}
		return nil
	})
	if len(big) == 0 {
		return
	}
	ids := map[string]string{}
	pods, err := m.cfg.Runtime.List(ctx)
	if err != nil {
		return
	}
	for _, p := range pods {
		full, err := m.cfg.Runtime.Pod(ctx, p.UID)
		if err != nil {
			continue
		}
		for i := range full.Containers {
			if c := &full.Containers[i]; c.State == runtime.Running {
				ids[c.LogPath] = c.ID
			}
		}
	}
	for _, path := range big {
		if id := ids[path]; id != "" {
			if err := m.rotate(ctx, path, id); err != nil {
				m.cfg.Log.Warn("log not rotated", "path", path, "error", err)
			}
		}
	}
}

// rotate moves a log file aside, has the runtime open a new one, compresses the one before it and drops the oldest, so
// that LogMaxFiles are left: 0.log, one plain rotated file, the rest compressed.
func (m *Machine) rotate(ctx context.Context, path, id string) error {
	old, err := filepath.Glob(path + ".*")
	if err != nil {
		return err
	}
	sort.Strings(old) // their suffix is a time
	var kept []string
	for _, f := range old {
		if strings.HasSuffix(f, ".tmp") {
			os.Remove(f) // an earlier compression that did not end
			continue
		}
		kept = append(kept, f)
	}
	for len(kept) > max(0, m.cfg.LogMaxFiles-2) {
		if err := os.Remove(kept[0]); err != nil {
			return err
		}
		kept = kept[1:]
	}
	for _, f := range kept {
		if !strings.HasSuffix(f, ".gz") {
			if err := compress(f); err != nil {
				return err
			}
		}
	}
	rotated := path + "." + time.Now().UTC().Format("20060102-150405")
	if err := os.Rename(path, rotated); err != nil {
		return err
	}
	if err := m.cfg.Runtime.ReopenLog(ctx, id); err != nil {
		return errors.Join(err, os.Rename(rotated, path)) // it still writes into the file that was moved
	}
	return nil
}

func compress(path string) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	tmp := path + ".tmp"
	out, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	zw := gzip.NewWriter(out)
	_, err = io.Copy(zw, in)
	err = errors.Join(err, zw.Close(), out.Close())
	if err == nil {
		err = os.Rename(tmp, path+".gz")
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	return os.Remove(path)
}
