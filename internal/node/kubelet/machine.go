package kubelet

import (
	"context"
	"time"

	"sampan.dev/internal/node/evict"
	"sampan.dev/internal/node/podhost"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/volume"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Machine is what pods need of the machine beside the container runtime. podhost.Machine is a real one and says what each method
// does; a hollow node has one that makes nothing. Calls for one pod do not overlap.
type Machine interface {
	// Prepare makes what a pod needs before its sandbox, and returns its volumes by name. An error with which the pod is to wait
	// for another try is a *podhost.Failure.
	Prepare(ctx context.Context, pod *corev1.Pod) (map[string]volume.Mounted, error)
	Stale(pod *corev1.Pod, now time.Time) (again time.Time, stale bool)
	Renew(ctx context.Context, pod *corev1.Pod) error
	Mounts(m podhost.Mounting) ([]*cri.Mount, error)
	Dismantle(pod *corev1.Pod) error
	Clear(pod *corev1.Pod) error
	Sweep(known func(uid types.UID) bool)

	MakeLogs(pod *corev1.Pod, container string) error
	LinkLog(pod *corev1.Pod, container, id, path string)
	DropLogs(pod *corev1.Pod, c *runtime.Container)
	Restarts(pod *corev1.Pod, container string) int

	Pressure() evict.Pressure
	ImageSpace() (s evict.Signals, ok bool)
	Logs(pod *corev1.Pod, container string) evict.FS
	Volumes(pod *corev1.Pod) map[string]evict.FS
	Run(ctx context.Context)
}

var _ Machine = (*podhost.Machine)(nil)
