package serve

import (
	"context"
	"net/http"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	statsv1 "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// Host is what the server asks of the kubelet. Pods are frozen. Everything may be called concurrently.
type Host interface {
	// Pods are the pods bound to this node, static ones too, with the newest status the kubelet knows.
	Pods() []*corev1.Pod
	// Pod finds one of them by name.
	Pod(namespace, name string) (*corev1.Pod, bool)
	// RunningPods are what the container runtime runs, made into pods (UID, name, namespace, containers' names and images).
	RunningPods(ctx context.Context) ([]*corev1.Pod, error)

	// LogPath is the file that the runtime writes the output of one container run to, now: after a rotation it is the
	// new file under the same name. id is without the runtime's prefix ("containerd://…"). An error means that the runtime
	// does not know the container (its text is shown to the client).
	LogPath(ctx context.Context, id string) (path string, err error)
	// Running reports whether that container run is still going; following a log ends when it is not.
	Running(ctx context.Context, id string) (bool, error)

	// Exec, Attach and PortForward prepare one session and return the address of the runtime's streaming server for it.
	// The errors' texts are shown to the client: "container not found (\"x\")" when there is no such running container.
	Exec(ctx context.Context, pod *corev1.Pod, container string, cmd []string, s Stdio) (*url.URL, error)
	Attach(ctx context.Context, pod *corev1.Pod, container string, s Stdio) (*url.URL, error)
	PortForward(ctx context.Context, pod *corev1.Pod, ports []int32) (*url.URL, error)
	// Run runs a command without streams and returns its output, for /run.
	Run(ctx context.Context, pod *corev1.Pod, container string, cmd []string) ([]byte, error)

	// Summary is the answer to /stats/summary.
	Summary(ctx context.Context, onlyCPUAndMemory bool) (*statsv1.Summary, error)
	// Healthy returns nil while the kubelet's loops make progress.
	Healthy() error
	// Configz is the kubelet's configuration: a KubeletConfiguration of kubelet.config.k8s.io/v1beta1.
	Configz() any
}

// Stdio says which streams of a session are open.
type Stdio struct{ Stdin, Stdout, Stderr, TTY bool }

// Metrics are the handlers of the metrics paths; nil ones answer with an empty exposition.
type Metrics struct {
	Kubelet  http.Handler // /metrics
	Resource http.Handler // /metrics/resource
	CAdvisor http.Handler // /metrics/cadvisor
	Probes   http.Handler // /metrics/probes
}

// find answers a pod by namespace, name and, when not empty, UID.
func find(h Host, namespace, name string, uid types.UID) (*corev1.Pod, bool) {
	p, ok := h.Pod(namespace, name)
	if !ok || (uid != "" && p.UID != uid) {
		return nil, false
	}
	return p, true
}
