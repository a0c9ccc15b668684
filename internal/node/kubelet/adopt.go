package kubelet

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// adopt takes care of what an earlier run left: pods of the runtime that nobody wants any more are stopped, and
// directories and control groups of pods that are gone are removed.
func (k *Kubelet) adopt(ctx context.Context) {
	pods, err := k.rt.List(ctx)
	for err != nil {
		k.cfg.Log.Warn("runtime not listed, looking for orphans later", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Second):
		}
		pods, err = k.rt.List(ctx)
	}
	known := func(uid types.UID) bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.mu.workers[uid] != nil
	}
	kept := map[types.UID]bool{}
	for _, p := range pods {
		kept[p.UID] = true
		if !known(p.UID) {
			k.cfg.Log.Info("stopping a pod that is gone from the hub", "pod", p.Namespace+"/"+p.Name, "uid", p.UID)
			k.orphan(ctx, p)
		}
	}
	k.mu.Lock()
	k.mu.adopted = true
	k.mu.Unlock()
	if k.cfg.Hollow {
		return
	}
	// With their processes, which may have the volumes open.
	for _, g := range k.cgroups.Pods() {
		if uid := types.UID(g.UID); !known(uid) && !kept[uid] {
			if err := k.cgroups.Remove(g); err != nil {
				k.cfg.Log.Warn("orphaned control group stays", "uid", uid, "error", err)
			}
		}
	}
	dirs, err := os.ReadDir(k.cfg.podsDir())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		k.cfg.Log.Warn("pod directories not listed", "error", err)
	}
	for _, d := range dirs {
		if uid := types.UID(d.Name()); !known(uid) && !kept[uid] {
			if err := k.removeDirs(uid); err != nil {
				k.cfg.Log.Warn("orphaned pod directory stays", "uid", uid, "error", err)
			}
		}
	}
}

// orphan runs a worker for a pod of which only the runtime knows, to end it.
func (k *Kubelet) orphan(ctx context.Context, p *runtime.Pod) {
	pod := &corev1.Pod{}
	pod.Name, pod.Namespace, pod.UID = p.Name, p.Namespace, p.UID
	for i := range p.Containers {
		c := &p.Containers[i]
		pod.Spec.TerminationGracePeriodSeconds = c.Grace
		if pods.FindContainer(pod.Spec.Containers, c.Name) == nil {
			spec := corev1.Container{Name: c.Name, Image: c.Image, Ports: c.Ports, TerminationMessagePath: c.TerminationPath}
			if c.PreStop != nil {
				spec.Lifecycle = &corev1.Lifecycle{PreStop: c.PreStop}
			}
			pod.Spec.Containers = append(pod.Spec.Containers, spec)
		}
	}
	w := newWorker(k, pod)
	w.update(pod, true)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mu.workers[p.UID] != nil {
		return
	}
	k.mu.workers[p.UID] = w
	k.wg.Add(1)
	go func() {
		defer k.wg.Done()
		w.run(ctx)
	}()
}

// predecessor reports whether a pod of the same name is still to be stopped: a changed file is a new pod, which waits for the old
// one as an update in place would. One that an earlier run has left has a worker once it was found to be an orphan.
func (k *Kubelet) predecessor(ctx context.Context, pod *corev1.Pod) bool {
	k.mu.Lock()
	adopted := k.mu.adopted
	for uid, w := range k.mu.workers {
		if uid == pod.UID {
			continue
		}
		if p, active := w.active(); active && p.Name == pod.Name && p.Namespace == pod.Namespace {
			k.mu.Unlock()
			return true
		}
	}
	k.mu.Unlock()
	if adopted {
		return false
	}
	pods, err := k.rt.List(ctx)
	return err != nil || slices.ContainsFunc(pods, func(p *runtime.Pod) bool {
		return p.Name == pod.Name && p.Namespace == pod.Namespace && p.UID != pod.UID && p.Running()
	})
}

// removeDirs removes what a pod has below the root directory.
func (k *Kubelet) removeDirs(uid types.UID) error {
	if k.cfg.Hollow {
		return nil
	}
	if err := k.volumes.Unmount(uid); err != nil {
		return err
	}
	return os.RemoveAll(k.cfg.podDir(string(uid)))
}
