package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// statusDelay is within which controllers write what they have counted.
const statusDelay = time.Second

// kubelets write the status of every pod of a namespace as soon as they see it, as kubelets would whose containers start at once.
type kubelets struct {
	stop   context.CancelFunc
	wg     sync.WaitGroup
	wrote  atomic.Int64
	failed atomic.Pointer[error]
}

// kubelets begin to write status, the patch of a pod's status, to each pod of a namespace that lacks it, with -workers connections.
func (r *run) kubelets(ns, status string, lacks func(*corev1.Pod) bool) (*kubelets, error) {
	watcher, err := r.client()
	if err != nil {
		return nil, err
	}
	var writers []kubernetes.Interface
	for range r.workers {
		cs, err := r.client()
		if err != nil {
			return nil, err
		}
		writers = append(writers, cs)
	}
	k := &kubelets{}
	var ctx context.Context
	ctx, k.stop = context.WithCancel(r.ctx)
	names := make(chan string, 1<<16)
	k.wg.Go(func() {
		defer close(names)
		seen := map[types.UID]bool{}
		_ = follow(ctx, podsOf(watcher, ns), "", func(p *corev1.Pod, gone bool) bool {
			switch {
			case gone:
				delete(seen, p.UID)
			case p.DeletionTimestamp == nil && !seen[p.UID] && lacks(p):
				seen[p.UID] = true
				names <- p.Name
			}
			return false
		})
	})
	for _, cs := range writers {
		k.wg.Go(func() {
			for name := range names {
				_, err := cs.CoreV1().Pods(ns).Patch(ctx, name, types.StrategicMergePatchType, []byte(status), metav1.PatchOptions{}, "status")
				switch {
				case err == nil:
					k.wrote.Add(1)
				case ctx.Err() == nil && !apierrors.IsNotFound(err):
					k.failed.Store(&err)
				}
			}
		})
	}
	return k, nil
}

// end stops the writing and returns how many statuses were written.
func (k *kubelets) end() (int, error) {
	k.stop()
	k.wg.Wait()
	if err := k.failed.Load(); err != nil {
		return 0, fmt.Errorf("status of a pod: %w", *err)
	}
	return int(k.wrote.Load()), nil
}

// readyStatus is that of a pod that runs for an hour, so that no autoscaler waits for it; doneStatus of one whose container has ended well.
func readyStatus() string {
	since := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	return fmt.Sprintf(`{"status":{"phase":"Running","startTime":%[1]q,"conditions":[`+
		`{"type":"Initialized","status":"True","lastTransitionTime":%[1]q},{"type":"Ready","status":"True","lastTransitionTime":%[1]q},`+
		`{"type":"ContainersReady","status":"True","lastTransitionTime":%[1]q}],`+
		`"containerStatuses":[{"name":"c","image":"registry.example.com/none:1","imageID":"none","ready":true,"started":true,"restartCount":0,`+
		`"state":{"running":{"startedAt":%[1]q}}}]}}`, since)
}

func doneStatus() string {
	now := time.Now().UTC().Format(time.RFC3339)
	return fmt.Sprintf(`{"status":{"phase":"Succeeded","startTime":%[1]q,"conditions":[`+
		`{"type":"Initialized","status":"True","reason":"PodCompleted","lastTransitionTime":%[1]q},`+
		`{"type":"Ready","status":"False","reason":"PodCompleted","lastTransitionTime":%[1]q}],`+
		`"containerStatuses":[{"name":"c","image":"registry.example.com/none:1","imageID":"none","ready":false,"started":false,"restartCount":0,`+
		`"state":{"terminated":{"exitCode":0,"reason":"Completed","startedAt":%[1]q,"finishedAt":%[1]q}}}]}}`, now)
}

func notReady(p *corev1.Pod) bool { return !podReady(p) }

func notDone(p *corev1.Pod) bool { return p.Status.Phase != corev1.PodSucceeded }
