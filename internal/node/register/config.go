package register

import (
	"log/slog"
	"net"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/node/event"
	"sampan.dev/internal/node/evict"
	"sampan.dev/internal/node/health"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Config describes a node and what it is told with. Every field that is not said to be optional is needed; the kubelet's own
// configuration has the defaults.
type Config struct {
	Name       string
	Hostname   string   // of the Hostname address and label
	IPs        []net.IP // one or two families, the first primary; found by the default route when empty. Read anew when the host changes
	ExternalIP net.IP   // optional
	MachineID  string   // optional: in place of the machine's own
	Version    string   // of the kubelet: "v1.37.1"
	Port       int32    // of the kubelet's HTTPS server

	Create          bool // the Node object; else it only is kept
	Labels          map[string]string
	Annotations     map[string]string
	Taints          []corev1.Taint
	Unschedulable   bool
	CloudProvider   string // "" or "external"
	ProviderID      string
	RuntimeEndpoint string // for an annotation; "" leaves it out
	OwnNetwork      bool   // sampan's pod network serves the node, so that NetworkUnavailable=False is ours to say

	Resources Resources

	StatusEvery, ReportEvery, LeaseDuration time.Duration
	// Renewal is called before each renewal of the lease, and what it returns when that was acknowledged. Optional.
	Renewal func() (acknowledged func())

	Hub     client.Interface // nil for a node that no cluster knows
	Runtime runtime.Interface
	Health  *health.Runtime
	Events  *event.Recorder
	Log     *slog.Logger

	// Devices is what device plugins add: how many there are, how many can be used, and what has gone for good. Optional.
	Devices func() (capacity, allocatable corev1.ResourceList, gone []string)
	// VolumesInUse are those of CSI drivers that the control plane must not detach; last are those that the status names. Optional.
	VolumesInUse   func(last []corev1.UniqueVolumeName) []corev1.UniqueVolumeName
	Pressure       func() evict.Pressure
	Trouble        func() error        // what keeps the node from being ready beside the runtime. Optional
	AddressChanged func()              // called when the node's addresses have changed
	PodChanged     func(uid types.UID) // called for a pod whose containers are not as they were when the runtime was listed last
}
