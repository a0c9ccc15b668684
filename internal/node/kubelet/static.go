package kubelet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sampan.dev/internal/api/pods"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// runStatic runs the pods that the files of a folder describe, and follows the folder by inotify until ctx ends.
func (k *Kubelet) runStatic(ctx context.Context) {
	log := k.cfg.Log.With("path", k.cfg.StaticPods)
	for {
		err := k.watchStatic(ctx)
		if ctx.Err() != nil {
			return
		}
		log.Warn("static pod folder not watched, looking again in a while", "error", err)
		k.readStatic(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Second):
		}
	}
}

func (k *Kubelet) watchStatic(ctx context.Context) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("inotify: %w", err)
	}
	f := os.NewFile(uintptr(fd), "inotify") // non-blocking: reads go through the runtime's poller, and Close ends them
	defer f.Close()
	const mask = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_CREATE | unix.IN_DELETE_SELF
	if _, err := unix.InotifyAddWatch(fd, k.cfg.StaticPods, mask); err != nil {
		return fmt.Errorf("watch %s: %w", k.cfg.StaticPods, err)
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	buf := make([]byte, 64<<10)
	for {
		k.readStatic(ctx)
		if _, err := f.Read(buf); err != nil {
			return err
		}
	}
}

// readStatic reads the folder (or single file) and brings the static pods into line with it. A file that cannot be read or
// understood keeps the pod that it described before, so that a slip of an editor stops nothing.
func (k *Kubelet) readStatic(ctx context.Context) {
	k.reading.Lock()
	defer k.reading.Unlock()
	found := map[types.UID]*corev1.Pod{}
	for _, pod := range k.served {
		found[pod.UID] = pod
	}
	files, err := staticFiles(k.cfg.StaticPods)
	failed := err != nil
	if err != nil {
		k.cfg.Log.Warn("static pod folder not read", "path", k.cfg.StaticPods, "error", err)
	} else {
		k.source(func(s *sources) { s.folder = true })
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			var pod *corev1.Pod
			if pod, err = k.readStaticPod(path, data); err == nil {
				found[pod.UID] = pod
				continue
			}
		}
		failed = true
		k.cfg.Log.Warn("static pod not read", "path", path, "error", err)
	}
	k.mu.Lock()
	old := k.mu.static
	k.mu.static = found
	var gone []*worker
	for uid, pod := range old {
		if found[uid] != nil {
			continue
		}
		if failed && !replaced(found, pod) { // it may be the one that could not be read
			found[uid] = pod
			continue
		}
		if w := k.mu.workers[uid]; w != nil {
			gone = append(gone, w)
		}
	}
	k.mu.Unlock()
	for _, w := range gone {
		w.update(w.current(), true)
	}
	k.removeStale(ctx)
	for _, pod := range found {
		k.upsert(ctx, pod)
	}
}

// sources are those of static pods that have been read at least once, or need not be. Until all have been, nothing is known to be
// gone: neither what runs nor what is mirrored.
type sources struct{ folder, url bool }

// source notes that a source has been read.
func (k *Kubelet) source(read func(*sources)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.mu.sources
	read(&k.mu.sources)
	if all := (sources{true, true}); was != all && k.mu.sources == all {
		close(k.sourced)
	}
}

func replaced(found map[types.UID]*corev1.Pod, pod *corev1.Pod) bool {
	for _, p := range found {
		if p.Name == pod.Name && p.Namespace == pod.Namespace {
			return true
		}
	}
	return false
}

// staticFiles lists a folder, or is the single file. What is not there holds nothing.
func staticFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, filepath.Join(path, e.Name()))
		}
	}
	return out, nil
}

// readStaticPod reads a file. The UID is a hash of what it says.
func (k *Kubelet) readStaticPod(path string, data []byte) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	if err := yaml.Unmarshal(data, pod); err != nil {
		return nil, err
	}
	return pod, k.takeStatic(pod, "file", path, data)
}

// takeStatic makes a manifest a pod of this node as upstream does: the name gets the node's appended, the UID is a hash of
// the content and of where it is from, and what the hub would default is defaulted here.
func (k *Kubelet) takeStatic(pod *corev1.Pod, source, where string, data []byte) error {
	if pod.Kind != "Pod" || pod.APIVersion != "v1" {
		return fmt.Errorf("invalid pod: %s of %s", pod.Kind, pod.APIVersion)
	}
	if pod.Name == "" {
		return errors.New("invalid pod: name is needed for the pod")
	}
	if pod.UID == "" {
		sum := sha256.Sum256([]byte(string(data) + "host:" + k.cfg.NodeName + source + ":" + where))
		pod.UID = types.UID(hex.EncodeToString(sum[:16]))
	}
	pod.Name += "-" + strings.ToLower(k.cfg.NodeName)
	if pod.Namespace == "" {
		pod.Namespace = metav1.NamespaceDefault
	}
	pod.Spec.NodeName = k.cfg.NodeName
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[pods.AnnotationHash] = string(pod.UID)
	pod.Annotations[pods.AnnotationSource] = source
	pod.Annotations[pods.AnnotationSeen] = k.began.Format(time.RFC3339Nano)
	pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute})
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending}
	if kind := k.cfg.PodKind; kind != nil {
		if kind.Default != nil {
			kind.Default(pod)
		}
		if kind.Validate != nil {
			if errs := kind.Validate(pod); len(errs) > 0 {
				return fmt.Errorf("invalid pod: %w", errs.ToAggregate())
			}
		}
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.PersistentVolumeClaim != nil {
			return fmt.Errorf("static pods may not reference API objects: volume %s", v.Name)
		}
	}
	return nil
}
