package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Version is the Kubernetes version that is implemented, with a suffix that tools which parse versions accept.
const Version = "v1.37.1+sampan1"

// Build is the commit the binary was built from; the linker sets it.
var Build = "dev"

// DefaultDataDir is where a cluster lives unless told otherwise. Only a cluster that lives here uses the machine's
// conventional places (/var/lib/kubelet, /var/log/pods, /run/sampan); others keep everything below their data directory,
// so that several live side by side.
const DefaultDataDir = "/var/lib/sampan"

// Config describes one cluster, or one node of it, on this machine: its places, names and addresses. What each program of it can be
// told besides is in that program's own configuration (internal/component).
type Config struct {
	Name          string // by which the data directory was chosen; "" when it was named itself
	DataDir       string
	Listen        string // API server, ADDR:PORT
	KubeconfigOut string // "" means only below DataDir
	NoNode        bool
	Nodes         int
	Separate      bool   // the node is a process of its own, which outlives the control plane's
	NodeName      string // "" means the host's name
	NodeIP        string // "" means the address of the default route's link
	ClusterCIDR   string // must be set; cmd/sampan knows what to set it to
	ServiceCIDR   string
	ClusterDomain string
	Detach        bool
	NoMerge       bool     // leave the caller's kubeconfig alone
	TLSSANs       []string // further names and addresses of the API server's certificate

	EtcdQuota int64 // bytes that the embedded member's database may take; 0 means 8 GiB

	// DurableLeasesAndEvents has every write of a lease or an event reach the embedded member before it returns.
	DurableLeasesAndEvents bool

	// A node's own.
	RuntimeEndpoint string // a CRI socket instead of the bundled containerd
	StaticPodPath   string
	NodeExternalIP  string
	FastFailover    bool   // it ends pods that must not be there twice when it is cut off, so that they may be replaced
	MachineID       string // instead of /etc/machine-id, for nodes that share a machine
	Kubeconfig      string // agent: credentials, instead of Server and Token
	Server          string // agent: https://…
	Token           string // agent: id.secret, with an optional CA hash in front

	InsecureKubeletTLS bool // the API server believes whoever answers for a kubelet

	// How the control plane reaches nodes: NodeTunnel "" is directly, "konnectivity" through the connections that agents keep to
	// TunnelListen (ADDR:PORT; "" means port 8132 of the API server's address), "ssh" by logging in to them as SSHUser.
	NodeTunnel   string
	TunnelListen string
	SSHUser      string
	SSHKeyFile   string
	// A node's end of it: it keeps connections to TunnelServers (HOST:PORT; none: port 8132 of Server's host).
	Tunnel        bool
	TunnelServers []string

	LogLevel  string
	LogFormat string
}

// Default returns what `sampan up` alone means.
func Default() Config {
	return Config{
		DataDir:       DefaultDataDir,
		Listen:        "0.0.0.0:6443",
		Nodes:         1,
		ClusterDomain: "cluster.local",
		LogLevel:      "info",
		LogFormat:     "text",
	}
}

// Validate checks what can be checked without touching the machine and makes its paths absolute. Its errors name the flag.
func (c *Config) Validate() error {
	abs, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fmt.Errorf("--data-dir %q: %w", c.DataDir, err)
	}
	c.DataDir = abs
	for _, file := range []*string{&c.KubeconfigOut, &c.StaticPodPath, &c.Kubeconfig, &c.SSHKeyFile} {
		if *file == "" {
			continue
		}
		if *file, err = filepath.Abs(*file); err != nil {
			return err
		}
	}
	if c.EtcdQuota != 0 && c.EtcdQuota < 1<<20 {
		return fmt.Errorf("--quota-backend-bytes %d: want a megabyte at least", c.EtcdQuota)
	}
	if abs == "/" {
		return fmt.Errorf("--data-dir must not be the root directory")
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %q: want ADDR:PORT", c.Listen)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" {
		return fmt.Errorf("--listen %q: %q is not an IP address", c.Listen, host)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("--listen %q: %q is not a port", c.Listen, port)
	}
	cluster, err := prefix("--cluster-cidr", c.ClusterCIDR)
	if err != nil {
		return err
	}
	service, err := prefix("--service-cidr", c.ServiceCIDR)
	if err != nil {
		return err
	}
	if cluster.Overlaps(service) {
		return fmt.Errorf("--cluster-cidr %s and --service-cidr %s overlap", cluster, service)
	}
	if service.Bits() < 12 || service.Bits() > 27 {
		return fmt.Errorf("--service-cidr %s: want a prefix between /12 and /27", service)
	}
	if err := c.tunnels(); err != nil {
		return err
	}
	if c.Nodes < 1 || c.Nodes > 50 {
		return fmt.Errorf("--nodes %d: want 1 to 50", c.Nodes)
	}
	if c.NoNode && c.Nodes > 1 {
		return fmt.Errorf("--nodes %d and --no-node contradict each other", c.Nodes)
	}
	if c.NodeName != "" {
		if _, err := c.Node(); err != nil {
			return err
		}
	}
	if msgs := validation.IsDNS1123Subdomain(c.ClusterDomain); len(msgs) > 0 {
		return fmt.Errorf("--cluster-domain %q: %s", c.ClusterDomain, strings.Join(msgs, "; "))
	}
	for _, san := range c.TLSSANs {
		if _, err := netip.ParseAddr(san); err != nil && len(validation.IsDNS1123Subdomain(san)) > 0 && len(validation.IsWildcardDNS1123Subdomain(san)) > 0 {
			return fmt.Errorf("--tls-san %q: neither an IP address nor a DNS name", san)
		}
	}
	if err := c.validateSeparate(port); err != nil {
		return err
	}
	if c.NodeExternalIP != "" {
		if _, err := netip.ParseAddr(c.NodeExternalIP); err != nil {
			return fmt.Errorf("--node-external-ip %q: not an IP address", c.NodeExternalIP)
		}
	}
	return nil
}

// tunnels checks how nodes are reached.
func (c *Config) tunnels() error {
	switch c.NodeTunnel {
	case "", "konnectivity":
		if c.SSHUser != "" || c.SSHKeyFile != "" {
			return fmt.Errorf("--ssh-user and --ssh-keyfile are for --node-tunnel=ssh")
		}
	case "ssh":
		if c.SSHUser == "" || c.SSHKeyFile == "" {
			return fmt.Errorf("--node-tunnel=ssh needs --ssh-user and --ssh-keyfile")
		}
	default:
		return fmt.Errorf("--node-tunnel %q: want \"konnectivity\" or \"ssh\", or nothing to reach nodes directly", c.NodeTunnel)
	}
	if c.TunnelListen != "" {
		if _, err := netip.ParseAddrPort(c.TunnelListen); err != nil {
			return fmt.Errorf("--tunnel-listen %q: want ADDR:PORT", c.TunnelListen)
		}
	}
	for _, s := range c.TunnelServers {
		if _, _, err := net.SplitHostPort(s); err != nil {
			return fmt.Errorf("--tunnel-server %q: want HOST:PORT", s)
		}
	}
	return nil
}

// validateSeparate refuses what a node in a process of its own could not do.
func (c *Config) validateSeparate(port string) error {
	switch {
	case !c.Separate:
		return nil
	case c.NoNode:
		return fmt.Errorf("--separate: with --no-node there is no node to run apart")
	case c.Nodes > 1:
		return fmt.Errorf("--separate: with --nodes %d the further nodes would end with the control plane; one node can be run apart", c.Nodes)
	case port == "0":
		return fmt.Errorf("--separate: --listen %s: want a port that stays, where the node finds the API server again", c.Listen)
	}
	return nil
}

func prefix(flag, s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s %q: want ADDRESS/BITS", flag, s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s %q: host bits are set; did you mean %s?", flag, s, p.Masked())
	}
	return p, nil
}

// Instance is what tells the names of this cluster's links, tables and cgroups from another's on the same machine: ""
// for the default data directory, eight hex digits otherwise.
func (c *Config) Instance() string {
	if c.DataDir == DefaultDataDir {
		return ""
	}
	sum := sha256.Sum256([]byte(c.DataDir))
	return hex.EncodeToString(sum[:4])
}

// Below is the data directory of the index-th node of a cluster that runs several on one machine (`up --nodes`).
func Below(cluster string, index int) string {
	return filepath.Join(cluster, "nodes", strconv.Itoa(index))
}

// Above is the data directory of the cluster whose node beyond the first dir is for; "" where dir is a cluster's own.
func Above(dir string) string {
	cluster := filepath.Dir(filepath.Dir(dir))
	if filepath.Base(filepath.Dir(dir)) != "nodes" {
		return ""
	}
	if _, err := os.Lstat(filepath.Join(cluster, "sampan.pid")); err != nil {
		return ""
	}
	return cluster
}

// Paths are the places that a cluster or node uses on its machine.
type Paths struct {
	Data       string // survives everything but purge
	Run        string // sockets and pid files; gone after down or a reboot
	PKI        string
	Kubeconfig string // the administrator's
	Log        string // sampan's own log when detached

	// The files by which processes of this data directory are known. A node that is a process of its own has others, see [Paths.Apart].
	Claim  string // locked by the process that runs here; its number
	Keeper string // locked by the process that starts that one again when it dies; see tools/keep
	Ready  string // the number of the process that has come up
	Parts  string // how the parts of the process are; see internal/machine/parts

	Bin string // the folder sampan itself is in, with containerd, runc and kubectl beside it

	KubeletRoot   string
	PodLogs       string
	ContainerLogs string
	StaticPods    string
	Manifests     string // what the control plane applies; static pods lie there too, unless they are told elsewhere
	CgroupRoot    string // below which kubepods lies
}

// Paths derives them.
func (c *Config) Paths() Paths {
	p := Paths{
		Data:       c.DataDir,
		Run:        "/run/sampan",
		PKI:        filepath.Join(c.DataDir, "pki"),
		Kubeconfig: filepath.Join(c.DataDir, "admin.kubeconfig"),
		Log:        filepath.Join(c.DataDir, "sampan.log"),
		Claim:      filepath.Join(c.DataDir, "sampan.pid"),
		Keeper:     filepath.Join(c.DataDir, "sampan.keeper"),
		Bin:        binDir(),

		KubeletRoot:   "/var/lib/kubelet",
		PodLogs:       "/var/log/pods",
		ContainerLogs: "/var/log/containers",
		StaticPods:    filepath.Join(c.DataDir, "manifests"),
		Manifests:     filepath.Join(c.DataDir, "manifests"),
		CgroupRoot:    "/",
	}
	if id := c.Instance(); id != "" {
		p.Run = "/run/sampan-" + id
		p.KubeletRoot = filepath.Join(c.DataDir, "kubelet")
		p.PodLogs = filepath.Join(c.DataDir, "log/pods")
		p.ContainerLogs = filepath.Join(c.DataDir, "log/containers")
		p.CgroupRoot = "/sampan-" + id
	}
	if os.Geteuid() != 0 {
		p.Run = filepath.Join(c.DataDir, "run")
	}
	if c.StaticPodPath != "" {
		p.StaticPods = c.StaticPodPath
	}
	p.Ready, p.Parts = filepath.Join(p.Run, "ready"), filepath.Join(p.Run, "parts.json")
	return p
}

// Apart are the same places for the node of a cluster with --separate: its process has a log and a claim of its own beside those of the
// control plane's.
func (p Paths) Apart() Paths {
	p.Log = filepath.Join(p.Data, "node.log")
	p.Claim, p.Keeper, p.Ready = filepath.Join(p.Data, "node.pid"), filepath.Join(p.Data, "node.keeper"), filepath.Join(p.Run, "node.ready")
	p.Parts = filepath.Join(p.Run, "node-parts.json")
	return p
}

func binDir() string {
	exe, err := os.Executable()
	if err != nil {
		return "/usr/local/bin"
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	return filepath.Dir(exe)
}

// FirstServiceIP is the address of Service default/kubernetes, and DNSIP that of kube-system/kube-dns: the first and the
// tenth of the service range, as everywhere.
func (c *Config) FirstServiceIP() netip.Addr { return c.nthServiceIP(1) }

// DNSIP is the cluster DNS address.
func (c *Config) DNSIP() netip.Addr { return c.nthServiceIP(10) }

func (c *Config) nthServiceIP(n int) netip.Addr {
	a := netip.MustParsePrefix(c.ServiceCIDR).Addr()
	for range n {
		a = a.Next()
	}
	return a
}

// Node returns the node's name: the flag's, or the host's in lower case.
func (c *Config) Node() (string, error) {
	name, from := c.NodeName, "--node-name"
	if name == "" {
		h, err := os.Hostname()
		if err != nil {
			return "", fmt.Errorf("host name: %w", err)
		}
		name, from = h, "the host's name, in the place of which --node-name gives the node another,"
	}
	name = strings.ToLower(name)
	if msgs := validation.IsDNS1123Subdomain(name); len(msgs) > 0 {
		return "", fmt.Errorf("%s %q: %s", from, name, strings.Join(msgs, "; "))
	}
	return name, nil
}

// TunnelPort is where agents of tunnels connect to, upstream's port for it.
const TunnelPort = "8132"

// TunnelAt is where the control plane listens for agents.
func (c *Config) TunnelAt() string {
	if c.TunnelListen != "" {
		return c.TunnelListen
	}
	host, _, _ := net.SplitHostPort(c.Listen)
	return net.JoinHostPort(host, TunnelPort)
}
