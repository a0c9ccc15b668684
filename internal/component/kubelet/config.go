package kubelet

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"sampan.dev/internal/component"
	"sampan.dev/internal/node/cpus"
	"sampan.dev/internal/node/memorymap"
	"sampan.dev/internal/node/placement"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/podstate"
	"sampan.dev/internal/node/shutdown"
	"sampan.dev/internal/node/topology"
	"sampan.dev/internal/node/users"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
)

// Config of a kubelet of its own. Make one with New.
type Config struct {
	File                string   // a KubeletConfiguration
	Folder              string   // of drop-ins that change it
	skipped             []string // files in Folder that are no drop-ins
	Log                 component.Log
	Kubeconfig          string
	BootstrapKubeconfig string
	CertDir             string

	NodeName, NodeIP, NodeLabels, CloudProvider, ProviderID string

	Taints      []corev1.Taint
	Register    bool
	RootDir     string
	PodLogs     string
	StaticPods  string
	ManifestURL string
	// ManifestHeader goes with every request to that URL, which is asked every ManifestEvery.
	ManifestHeader http.Header
	ManifestEvery  time.Duration
	Endpoint       string // of the CRI
	MaxPods        int32
	PodPids        int64
	UserIDs        int64 // that a pod with users of its own has
	ClusterDNS     []string
	Domain         string
	ResolvConf     string
	CgroupRoot     string
	CgroupDriver   string
	// Reservation, SwapBehavior, Throttle and OneProcess are rules of containers' memory, as podspec.ReadMemoryRules reads them.
	Reservation, SwapBehavior string
	Throttle                  float64
	OneProcess                *bool
	FailSwapOn                bool // do not run where there is swap
	LogMaxSize                string
	LogMaxFiles               int32
	Sysctls                   []string

	SystemReserved, KubeReserved, EvictionHard map[string]string

	EvictionSoft, EvictionGrace, EvictionReclaim map[string]string
	EvictionMaxGrace                             int32
	EvictionTransition                           time.Duration

	Shutdown shutdown.Settings

	SerialPulls                       bool
	ParallelPulls, PullQPS, PullBurst int32
	ProviderBin, ProviderConfig       string

	ImageHigh, ImageLow      int32
	ImageMinAge, ImageMaxAge time.Duration
	VerifyImages             string
	VerifyAllowed            []string

	// Placement says who gets which CPUs, memory and devices. Features are those gates that change it.
	Placement placement.Settings
	Features  map[string]string

	StatusEvery, ReportEvery, SyncEvery, CrashMax time.Duration
	LeaseSeconds                                  int32

	// The HTTPS face.
	Serve             bool
	Address           net.IP
	Port              int32
	CertFile, KeyFile string
	ClientCA          string
	BootstrapServing  bool // ask the cluster for the certificate to show
	Rotate            bool // renew the client certificate
	HealthAddress     net.IP
	HealthPort        int32

	// Whom a kubelet without an API server lets in. The defaults are other ones where there is a file, as upstream.
	Anonymous     bool
	Webhook       bool   // tokens are reviewed
	Authorization string // alwaysAllow or webhook
	ReadOnlyPort  int32
}

// New returns upstream's defaults.
func New() *Config {
	return &Config{
		CertDir: "/var/lib/kubelet/pki", RootDir: "/var/lib/kubelet", PodLogs: "/var/log/pods",
		Endpoint: "unix:///run/containerd/containerd.sock", ResolvConf: "/etc/resolv.conf", CgroupDriver: "cgroupfs", Reservation: podspec.NoReservation, FailSwapOn: true,
		MaxPods: 110, SerialPulls: true, PullQPS: 5, PullBurst: 10, PodPids: -1, UserIDs: users.Unit, LogMaxSize: "10Mi", LogMaxFiles: 5, Register: true, Serve: true,
		Address: net.IPv4zero, Port: 10250, HealthAddress: net.IPv4(127, 0, 0, 1), HealthPort: 10248,
		StatusEvery: 10 * time.Second, ReportEvery: 5 * time.Minute, SyncEvery: time.Minute, CrashMax: podstate.BackoffMax, LeaseSeconds: 40, EvictionTransition: 5 * time.Minute, ImageHigh: 85, ImageLow: 80, ImageMinAge: 2 * time.Minute,
		ManifestEvery: 20 * time.Second, Anonymous: true, Authorization: alwaysAllow, ReadOnlyPort: 10255,
		Placement: placement.Settings{TopologyPolicy: topology.None, TopologyScope: topology.ContainerScope, CPUPolicy: cpus.None, CPUEvery: 10 * time.Second,
			MemoryPolicy: memorymap.None},
	}
}

// Logger makes the logger that the flags ask for.
func (c *Config) Logger(w io.Writer) (*slog.Logger, error) { return c.Log.New(w) }

// Flags binds upstream's command line.
func (c *Config) Flags(fs *pflag.FlagSet) { c.Table().Add(fs) }
