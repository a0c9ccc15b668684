package kubelet

import (
	"context"
	"time"

	"sampan.dev/internal/api/devices"
	"sampan.dev/internal/node/allocation"
	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/claims"
	"sampan.dev/internal/node/csi"
	"sampan.dev/internal/node/event"
	"sampan.dev/internal/node/evict"
	"sampan.dev/internal/node/fence"
	"sampan.dev/internal/node/health"
	"sampan.dev/internal/node/image"
	"sampan.dev/internal/node/metrics"
	"sampan.dev/internal/node/object"
	"sampan.dev/internal/node/placement"
	"sampan.dev/internal/node/podcert"
	"sampan.dev/internal/node/podhost"
	"sampan.dev/internal/node/podstatus"
	"sampan.dev/internal/node/probe"
	"sampan.dev/internal/node/register"
	"sampan.dev/internal/node/resize"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/shutdown"
	"sampan.dev/internal/node/source"
	"sampan.dev/internal/node/users"
	"sampan.dev/internal/node/volume"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// base is what all pods of a node share: the rooms beside this one. New fills it and nothing changes it afterwards; every goroutine
// may use it.
type base struct {
	cfg       Config
	rt        runtime.Interface
	events    *event.Recorder
	writer    *podstatus.Writer
	objects   *object.Reader
	cgroups   *cgroup.Manager
	images    *image.Puller
	collector *image.Collector
	probed    probe.Counts
	counts    metrics.Counts
	machine   Machine
	csi       *csi.Manager // nil where the machine is not this one, and without a hub
	paths     podhost.Paths
	node      *register.Node
	health    *health.Runtime
	static    *source.Static
	place     *placement.Placement // nil where the machine is not this one
	certs     *podcert.Manager     // nil without a hub
	dra       *claims.Manager      // nil where the machine is not this one, and without a hub
	users     *users.Manager       // nil where the machine is not this one
	fence     *fence.Fence         // nil on a node that promises nothing
	shutdown  *shutdown.Manager    // nil where pods are not ended before the machine shuts down
	alloc     *allocation.Manager
	resizes   *resize.Queue
	actuator  *resize.Actuator
	began     time.Time
	pageSizes []int64 // of the huge pages that the kernel knows, in bytes
	swappable bool    // the kernel limits swap by control group
}

// claimed has the devices got ready that a pod claims.
func (b *base) claimed(ctx context.Context, pod *corev1.Pod) error {
	if b.dra == nil || !devices.Has(pod) {
		return nil
	}
	return b.dra.Prepare(ctx, pod)
}

// removeContainer removes a dead container with its logs.
func (b *base) removeContainer(ctx context.Context, pod *corev1.Pod, c *runtime.Container) error {
	b.machine.DropLogs(pod, c)
	return b.rt.RemoveContainer(ctx, c.ID)
}

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
	ClaimedVolumes(ctx context.Context, pod *corev1.Pod) []volume.Usage
	Run(ctx context.Context)
}

var _ Machine = (*podhost.Machine)(nil)
