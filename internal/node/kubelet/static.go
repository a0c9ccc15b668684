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

	"sampan.dev/internal/client"

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
	var failed bool
	for _, path := range staticFiles(k.cfg.StaticPods) {
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
	var stale []*corev1.Pod // mirrors of what is gone
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
		if m := k.mu.mirrors[mirrorKey(pod)]; m != nil {
			stale = append(stale, m)
		}
	}
	k.mu.Unlock()
	for _, w := range gone {
		w.update(w.current(), true)
	}
	for _, m := range stale {
		k.go1(func() { _ = k.writer.remove(ctx, m) })
	}
	for _, pod := range found {
		k.upsert(ctx, pod)
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

func staticFiles(path string) []string {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	if !info.IsDir() {
		return []string{path}
	}
	entries, _ := os.ReadDir(path)
	var out []string
	for _, e := range entries {
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, filepath.Join(path, e.Name()))
		}
	}
	return out
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
	pod.Annotations[annHash] = string(pod.UID)
	pod.Annotations[annSource] = source
	pod.Annotations[annSeen] = k.began.Format(time.RFC3339Nano)
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

// predecessor reports whether a static pod of the same name is still being stopped: a changed file is a new pod, which
// waits for the old one as an update in place would.
func (k *Kubelet) predecessor(pod *corev1.Pod) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for uid, w := range k.mu.workers {
		if uid == pod.UID {
			continue
		}
		if p, active := w.active(); active && isStatic(p) && p.Name == pod.Name && p.Namespace == pod.Namespace {
			return true
		}
	}
	return false
}

// mirrorKey finds the mirror of a static pod.
func mirrorKey(pod *corev1.Pod) string { return pod.Namespace + "/" + pod.Name }

// mirrorSeen takes a mirror pod as the hub has it. One that shows no static pod of ours, or is being deleted, goes at once.
func (k *Kubelet) mirrorSeen(ctx context.Context, pod *corev1.Pod) {
	k.mu.Lock()
	k.mu.mirrors[mirrorKey(pod)] = pod
	static := k.staticOfLocked(pod)
	k.mu.Unlock()
	if static == nil || pod.DeletionTimestamp != nil || pod.Annotations[annMirror] != static.Annotations[annHash] {
		if k.staticRead() {
			k.go1(func() { _ = k.writer.remove(ctx, pod) })
		}
		return
	}
	k.wake(static.UID)
}

// staticRead reports whether the folder was read, so that a mirror without a pod in it is known to be stale.
func (k *Kubelet) staticRead() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cfg.StaticPods == "" || len(k.mu.static) > 0 || k.mu.synced
}

func (k *Kubelet) mirrorGone(_ context.Context, pod *corev1.Pod) {
	k.mu.Lock()
	if m := k.mu.mirrors[mirrorKey(pod)]; m != nil && m.UID == pod.UID {
		delete(k.mu.mirrors, mirrorKey(pod))
	}
	static := k.staticOfLocked(pod)
	k.mu.Unlock()
	k.writer.forget(pod.UID)
	if static != nil {
		k.wake(static.UID)
	}
}

func (k *Kubelet) staticOfLocked(mirror *corev1.Pod) *corev1.Pod {
	for _, p := range k.mu.static {
		if p.Name == mirror.Name && p.Namespace == mirror.Namespace {
			return p
		}
	}
	return nil
}

// mirror shows a static pod's status on its mirror, which is made when there is none.
func (k *Kubelet) mirror(ctx context.Context, pod *corev1.Pod, s *corev1.PodStatus, running bool) {
	if k.cfg.Door == nil {
		return
	}
	k.mu.Lock()
	m := k.mu.mirrors[mirrorKey(pod)]
	k.mu.Unlock()
	if m != nil && m.Annotations[annMirror] == pod.Annotations[annHash] {
		k.writer.set(ctx, m, s, running)
		return
	}
	if m != nil || ctx.Err() != nil {
		if m != nil {
			k.go1(func() { _ = k.writer.remove(ctx, m) })
		}
		return
	}
	n, ok := k.node.Get("", k.cfg.NodeName)
	if !ok {
		time.AfterFunc(time.Second, func() { k.wake(pod.UID) })
		return
	}
	yes := true
	made := pod.DeepCopy()
	made.UID, made.ResourceVersion, made.Status = "", "", corev1.PodStatus{}
	made.Annotations[annMirror] = pod.Annotations[annHash]
	made.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID, Controller: &yes}}
	k.go1(func() {
		if _, err := client.Create(ctx, k.cfg.Door, client.Pods, made); err != nil && ctx.Err() == nil {
			k.cfg.Log.Debug("mirror pod not made", "pod", mirrorKey(pod), "error", err)
			time.AfterFunc(5*time.Second, func() { k.wake(pod.UID) })
		}
	})
}

// go1 runs fn on a goroutine that Run waits for.
func (k *Kubelet) go1(fn func()) {
	k.wg.Add(1)
	go func() {
		defer k.wg.Done()
		fn()
	}()
}
