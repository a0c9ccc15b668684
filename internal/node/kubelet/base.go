package kubelet

import (
	"context"
	"time"

	"sampan.dev/internal/node/allocation"
	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/csi"
	"sampan.dev/internal/node/event"
	"sampan.dev/internal/node/health"
	"sampan.dev/internal/node/image"
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

	corev1 "k8s.io/api/core/v1"
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
	machine   Machine
	csi       *csi.Manager // nil where the machine is not this one, and without a hub
	paths     podhost.Paths
	node      *register.Node
	health    *health.Runtime
	static    *source.Static
	place     *placement.Placement // nil where the machine is not this one
	certs     *podcert.Manager     // nil without a hub
	users     *users.Manager       // nil where the machine is not this one
	shutdown  *shutdown.Manager    // nil where pods are not ended before the machine shuts down
	alloc     *allocation.Manager
	resizes   *resize.Queue
	actuator  *resize.Actuator
	began     time.Time
}

// removeContainer removes a dead container with its logs.
func (b *base) removeContainer(ctx context.Context, pod *corev1.Pod, c *runtime.Container) error {
	b.machine.DropLogs(pod, c)
	return b.rt.RemoveContainer(ctx, c.ID)
}
