package runtime

import (
	"context"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Interface is what the kubelet needs of a container runtime. Calls that name something that is gone return an error
// for which IsNotFound is true; stopping and removing what is gone is not an error.
type Interface interface {
	Version(ctx context.Context) (Version, error)
	Status(ctx context.Context) (*Status, error)
	// SetPodCIDR tells the runtime the node's pod network range, for runtimes that configure CNI from it.
	SetPodCIDR(ctx context.Context, cidr string) error

	// List returns every pod the runtime knows. Containers carry what a listing tells: no exit codes, no times but
	// CreatedAt.
	List(ctx context.Context) ([]*Pod, error)
	// Pod returns the full state of one pod: an empty Pod when the runtime has nothing of it.
	Pod(ctx context.Context, uid types.UID) (*Pod, error)

	RunSandbox(ctx context.Context, cfg *cri.PodSandboxConfig, handler string) (id string, err error)
	StopSandbox(ctx context.Context, id string) error
	RemoveSandbox(ctx context.Context, id string) error

	CreateContainer(ctx context.Context, sandbox string, cfg *cri.ContainerConfig, sandboxCfg *cri.PodSandboxConfig) (id string, err error)
	StartContainer(ctx context.Context, id string) error
	// StopContainer sends the stop signal and, after grace seconds, SIGKILL; it returns when the container is dead.
	StopContainer(ctx context.Context, id string, grace int64) error
	RemoveContainer(ctx context.Context, id string) error
	UpdateContainer(ctx context.Context, id string, res *cri.LinuxContainerResources) error
	// UpdateSandbox tells the runtime what a pod's group is about to be held to. A runtime that does not want to know is no error.
	UpdateSandbox(ctx context.Context, id string, res *cri.LinuxContainerResources) error
	ReopenLog(ctx context.Context, id string) error

	// ExecSync runs cmd and returns its output and exit code; err is for commands that could not be run or took longer
	// than timeout (0: no limit).
	ExecSync(ctx context.Context, id string, cmd []string, timeout time.Duration) (stdout, stderr []byte, code int32, err error)
	// Exec, Attach and PortForward return the address of the runtime's streaming server for one session.
	Exec(ctx context.Context, id string, cmd []string, s Stdio) (*url.URL, error)
	Attach(ctx context.Context, id string, s Stdio) (*url.URL, error)
	PortForward(ctx context.Context, sandbox string, ports []int32) (*url.URL, error)

	// Image returns what is known of ref, or nil when it is not present.
	Image(ctx context.Context, ref string) (*Image, error)
	Images(ctx context.Context) ([]Image, error)
	// Pull fetches ref with auth (nil: anonymously) and returns its reference.
	Pull(ctx context.Context, ref string, auth *cri.AuthConfig, sandboxCfg *cri.PodSandboxConfig) (string, error)
	RemoveImage(ctx context.Context, ref string) error

	// Events calls fn for every change of a container or sandbox until ctx ends. It reconnects by itself, and calls fn
	// with an empty UID ("look at all pods") whenever events may have been missed.
	Events(ctx context.Context, fn func(Event)) error
	// ContainerMemory is what a running container uses of memory, in bytes.
	ContainerMemory(ctx context.Context, id string) (uint64, error)
	// Stats returns the usage of all containers that run.
	Stats(ctx context.Context) ([]*cri.ContainerStats, error)
	// ImageFS returns the file systems that hold images and writable layers.
	ImageFS(ctx context.Context) ([]*cri.FilesystemUsage, error)
}

// Stdio says which streams of a session are open.
type Stdio struct{ Stdin, Stdout, Stderr, TTY bool }

// Event says that something of a pod changed.
type Event struct{ UID types.UID }

// Version of the runtime: "containerd", "2.4.2", CRI "v1".
type Version struct{ Name, Version, API string }

// Status is the runtime's own view of its health.
type Status struct {
	Ready, NetworkReady     bool
	Reason, Message         string // of what is not ready
	NetReason, NetMessage   string
	Handlers                []corev1.NodeRuntimeHandler
	SupplementalGroupPolicy bool
}

// State of a container.
type State uint8

// States of a container, in the order of its life.
const (
	Unknown State = iota
	Created
	Running
	Exited
)

func (s State) String() string {
	return [...]string{"unknown", "created", "running", "exited"}[s]
}

// Pod is what the runtime has of one pod. Sandboxes and Containers are newest first.
type Pod struct {
	UID        types.UID
	Namespace  string
	Name       string
	Sandboxes  []Sandbox
	Containers []Container
}

// Sandbox is one sandbox of a pod.
type Sandbox struct {
	ID          string
	Attempt     uint32
	Ready       bool
	HostNetwork bool
	CreatedAt   time.Time
	IPs         []string // empty with HostNetwork
	HasNetwork  bool     // the runtime reported on the network at all
}

// Container is one run of a container. Times are zero where they do not apply yet.
type Container struct {
	ID        string
	Name      string
	SandboxID string
	State     State

	Image    string // as the spec names it
	ImageRef string // digest reference, becomes imageID in the API
	ImageID  string

	Hash         uint64 // of the container spec it was made from
	RestartCount int

	CreatedAt, StartedAt, FinishedAt time.Time

	ExitCode        int32
	Reason, Message string // of the exit; Message includes what was written to the termination message path

	LogPath    string
	Mounts     []*cri.Mount
	User       *corev1.LinuxContainerUser
	Resources  *cri.LinuxContainerResources
	StopSignal *corev1.Signal

	TerminationPath   string
	TerminationPolicy corev1.TerminationMessagePolicy
	Grace             *int64 // the pod's termination grace, for containers whose pod is not known any more
	PreStop           *corev1.LifecycleHandler
	Ports             []corev1.ContainerPort
}

// Image is an image on the node.
type Image struct {
	ID       string
	Tags     []string
	Digests  []string
	Size     int64
	UID      *int64 // numeric user of the image, nil when it names a user
	Username string
	Pinned   bool
}

// Container returns the newest container of that name, or nil.
func (p *Pod) Container(name string) *Container {
	for i := range p.Containers {
		if p.Containers[i].Name == name {
			return &p.Containers[i]
		}
	}
	return nil
}

// Active returns the newest container of that name in the newest sandbox when that is ready, or nil.
func (p *Pod) Active(name string) *Container {
	if len(p.Sandboxes) == 0 || !p.Sandboxes[0].Ready {
		return nil
	}
	for i := range p.Containers {
		if c := &p.Containers[i]; c.Name == name && c.SandboxID == p.Sandboxes[0].ID {
			return c
		}
	}
	return nil
}

// IPs of the newest sandbox while it is ready.
func (p *Pod) IPs() []string {
	if len(p.Sandboxes) == 0 || !p.Sandboxes[0].Ready {
		return nil
	}
	return p.Sandboxes[0].IPs
}

// Running reports whether any container of the pod runs or may run. One that was made and never started does not.
func (p *Pod) Running() bool {
	for i := range p.Containers {
		if s := p.Containers[i].State; s == Running || s == Unknown {
			return true
		}
	}
	return false
}
