package kubelet

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/node/evict"
	"sampan.dev/internal/node/image"
	"sampan.dev/internal/node/placement"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/podstate"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/shutdown"
	"sampan.dev/internal/node/users"

	corev1 "k8s.io/api/core/v1"
	configv1 "k8s.io/kubelet/config/v1"
)

// Config describes one kubelet. Zero values are upstream's defaults where there is one.
type Config struct {
	NodeName   string
	Hostname   string   // of the Hostname address; NodeName when empty
	ExternalIP net.IP   // of the ExternalIP address; none when nil
	MachineID  string   // of nodeInfo, where the machine's own would not be the node's alone
	NodeIPs    []net.IP // one or two families; first is primary. Found by the default route when empty.

	RootDir       string // /var/lib/kubelet
	LocalVolumes  string // directory of the volumes that the cluster's own provisioner has made here; "": it makes none
	LogDir        string // /var/log/pods
	ContainerLogs string // /var/log/containers; "-" makes no links there

	Runtime runtime.Interface
	// RuntimeEndpoint is only told in the node's annotation of the CRI socket; "" leaves that out.
	RuntimeEndpoint string
	// Bundled says that the runtime is the one that comes with sampan: the first process of its sandboxes confines itself.
	Bundled bool

	Door     client.Interface // nil: standalone, static pods only
	Services *cache.Informer[*corev1.Service]
	Log      *slog.Logger

	ClusterDNS    []string
	ClusterDomain string // cluster.local
	ResolvConf    string // /etc/resolv.conf

	Register      bool // create the Node object
	Labels        map[string]string
	Annotations   map[string]string
	Taints        []corev1.Taint
	Unschedulable bool
	CloudProvider string // "" or "external"
	ProviderID    string
	// NetworkReady says that our own pod network serves this node, so that NetworkUnavailable=False is ours to say.
	NetworkReady bool

	Port        int32     // of our HTTPS server, for the node's daemonEndpoints
	MaxPods     int64     // 110
	PodPids     int64     // -1: no limit
	UserIDs     int64     // that a pod with users of its own has, 65536
	StaticPods  string    // folder (or file) of static pods
	StaticShare bool      // the folder also holds what is applied to the cluster
	PodKind     *api.Kind // defaults and validates them
	ManifestURL string
	// ManifestHeader is sent to the URL of static pods, which is asked every ManifestEvery (20 s).
	ManifestHeader http.Header
	ManifestEvery  time.Duration

	CgroupRoot   string // below the cgroup mount, "/" by default; kubepods is made in it
	CgroupDriver string // "cgroupfs" or "systemd"
	Memory       podspec.MemoryRules
	NoCgroups    bool // make no pod cgroups (hollow nodes, unprivileged trials)
	// Machine makes directories, volumes and log files for pods: this machine (a podhost.Machine) when nil.
	Machine Machine

	// Placement says who gets which CPUs, memory and devices. Hardware is where the machine's /proc and /sys are, "/" by default.
	Placement placement.Settings
	Hardware  fs.FS

	SystemReserved, KubeReserved corev1.ResourceList
	EvictionHard                 map[string]string
	Eviction                     evict.Settings      // all but Hard, which EvictionHard is
	Capacity                     corev1.ResourceList // overrides what the machine has (hollow nodes)

	StatusEvery   time.Duration // 10 s
	ReportEvery   time.Duration // 5 min
	LeaseDuration time.Duration // 40 s
	CrashMax      time.Duration // a container that ends again and again waits no longer before it is started, 5 min
	SyncEvery     time.Duration // volumes are brought up to date this often even without a reason, 1 min

	Shutdown shutdown.Settings // how pods are ended before the machine shuts down; not at all by default
	// Logind connects to what tells of shutdowns: systemd's logind when nil.
	Logind func() (shutdown.Bus, error)

	// FastFailover has the node end its exclusive pods when it is cut off, and promise so; see node/fence. LastRenewal is a file in memory
	// that tells a kubelet which is started anew when the one before it reached the API server last; optional.
	FastFailover bool
	LastRenewal  string
	SinceBoot    func() time.Duration // the clock of that; the machine's when nil
	// Renewal is called before each renewal of the node's lease, and what it returns when that was acknowledged. Optional.
	Renewal func() (acknowledged func())

	Images image.Policy       // when images are removed
	Verify image.Verification // who may use images that are there; those that others have pulled only who might pull them, by default

	Pulls image.Limits // how many images are pulled, and how often; no limits by default
	// Providers are programs in ProviderBin that know credentials of registries, as provider.Read reads them.
	Providers   []configv1.CredentialProvider
	ProviderBin string

	LogMaxSize  int64 // 10 MiB
	LogMaxFiles int   // 5

	AllowedUnsafeSysctls []string
	// Version is what the node reports as kubeletVersion: "v1.37.1".
	Version string
}

// fill sets defaults and checks.
func (c *Config) fill() error {
	def(&c.Hostname, c.NodeName)
	def(&c.RootDir, "/var/lib/kubelet")
	def(&c.LogDir, "/var/log/pods")
	def(&c.ContainerLogs, "/var/log/containers")
	def(&c.ClusterDomain, "cluster.local")
	def(&c.ResolvConf, "/etc/resolv.conf")
	def(&c.CgroupRoot, "/")
	def(&c.CgroupDriver, "cgroupfs")
	def(&c.MaxPods, 110)
	def(&c.PodPids, -1)
	def(&c.UserIDs, users.Unit)
	def(&c.StatusEvery, 10*time.Second)
	def(&c.ReportEvery, 5*time.Minute)
	def(&c.LeaseDuration, 40*time.Second)
	def(&c.SyncEvery, time.Minute)
	def(&c.CrashMax, podstate.BackoffMax)
	def(&c.ManifestEvery, 20*time.Second)
	def(&c.LogMaxSize, 10<<20)
	def(&c.LogMaxFiles, 5)
	def(&c.Port, 10250)
	def(&c.Version, "v1.37.1")
	if c.Hardware == nil {
		c.Hardware = os.DirFS("/")
	}
	c.SystemReserved, c.KubeReserved = c.Placement.Reserve(c.SystemReserved, c.KubeReserved)
	if c.EvictionHard == nil {
		c.EvictionHard = evict.Defaults
	}
	c.Eviction.Hard = c.EvictionHard
	if c.Logind == nil {
		c.Logind = shutdown.Logind
	}
	if err := c.Shutdown.Check(); err != nil {
		return err
	}
	def(&c.Images, image.Defaults)
	if err := c.Images.Check(); err != nil {
		return fmt.Errorf("kubelet: %w", err)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.NodeName == "" {
		return errors.New("kubelet: no node name")
	}
	if c.Runtime == nil {
		return errors.New("kubelet: no container runtime")
	}
	if c.CloudProvider != "" && c.CloudProvider != "external" {
		return fmt.Errorf("kubelet: unsupported value for cloud provider %q: only external is supported", c.CloudProvider)
	}
	if c.CgroupDriver != "cgroupfs" && c.CgroupDriver != "systemd" {
		return fmt.Errorf("kubelet: unsupported cgroup driver %q", c.CgroupDriver)
	}
	return nil
}

func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
