package kubelet

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
)

// logEvery is how often the sizes of log files are looked at (upstream's containerLogMonitorInterval).
const logEvery = 10 * time.Second

// linkLog makes the link in /var/log/containers that log shippers look for.
func (k *Kubelet) linkLog(pod *corev1.Pod, name, id, dir, path string) {
	if k.cfg.Hollow || k.cfg.ContainerLogs == "-" {
		return
	}
	if err := os.MkdirAll(k.cfg.ContainerLogs, 0o755); err != nil {
		return
	}
	link := k.logLink(pod, name, id)
	os.Remove(link)
	if err := os.Symlink(filepath.Join(dir, path), link); err != nil {
		k.cfg.Log.Debug("log link not made", "path", link, "error", err)
	}
}

func (k *Kubelet) logLink(pod *corev1.Pod, name, id string) string {
	base := fmt.Sprintf("%s_%s_%s-%s", pod.Name, pod.Namespace, name, id)
	return filepath.Join(k.cfg.ContainerLogs, base[:min(len(base), 255-len(".log"))]+".log")
}

// removeContainer removes a dead container with its logs and link.
func (k *Kubelet) removeContainer(ctx context.Context, pod *corev1.Pod, c *runtime.Container) error {
	if !k.cfg.Hollow {
		if c.LogPath != "" {
			files, _ := filepath.Glob(c.LogPath + "*") // rotated ones too
			for _, f := range files {
				os.Remove(f)
			}
		}
		if k.cfg.ContainerLogs != "-" {
			os.Remove(k.logLink(pod, c.Name, c.ID))
		}
	}
	return k.rt.RemoveContainer(ctx, c.ID)
}

// housekeep rotates logs and notices file system trouble until ctx ends.
func (k *Kubelet) housekeep(ctx context.Context) {
	if k.cfg.Hollow {
		<-ctx.Done()
		return
	}
	t := time.NewTicker(logEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			k.rotateLogs(ctx)
		}
	}
}

// rotateLogs looks at the newest log file of every container below the log directory; only what has grown beyond the limit
// costs a call to the runtime.
func (k *Kubelet) rotateLogs(ctx context.Context) {
	var big []string
	_ = filepath.WalkDir(k.cfg.LogDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".log") {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Size() >= k.cfg.LogMaxSize {
			big = append(big, path)
		}
		return nil
	})
	if len(big) == 0 {
		return
	}
	ids := map[string]string{}
	pods, err := k.rt.List(ctx)
	if err != nil {
		return
	}
	for _, p := range pods {
		full, err := k.rt.Pod(ctx, p.UID)
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
			if err := k.rotate(ctx, path, id); err != nil {
				k.cfg.Log.Warn("log not rotated", "path", path, "error", err)
			}
		}
	}
}

// rotate moves a log file aside, has the runtime open a new one, compresses the one before it and drops the oldest, so
// that LogMaxFiles are left: 0.log, one plain rotated file, the rest compressed.
func (k *Kubelet) rotate(ctx context.Context, path, id string) error {
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
	for len(kept) > max(0, k.cfg.LogMaxFiles-2) {
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
	if err := k.rt.ReopenLog(ctx, id); err != nil {
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
