package proxy

import (
	"io"
	"log/slog"
	"net"
	"net/netip"

	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"

	"github.com/spf13/pflag"
)

// Config of a proxy of its own. Make one with New.
type Config struct {
	File    string // a KubeProxyConfiguration
	Log     component.Log
	Contact component.Contact

	NodeName    string
	Bind        net.IP
	Health      string // ADDR:PORT of /healthz and /livez; "" for none
	Metrics     string // ADDR:PORT of /metrics, /healthz and /proxyMode; "" for none
	HardFail    bool   // end when one of those cannot be had
	ClusterCIDR []netip.Prefix
	Mode        string
	Cleanup     bool
	// Instance tells the tables of this proxy from those of others on the machine: "", or eight hexadecimal digits.
	Instance string
	// Tell reports as an event what people have to know of this node's proxy. It does not block; nil is nobody.
	Tell func(reason, message string)
}

// New returns upstream's defaults.
func New() *Config {
	return &Config{Bind: net.IPv4zero, Health: "0.0.0.0:10256", Metrics: "127.0.0.1:10249"}
}

// Logger makes the logger that the flags ask for.
func (c *Config) Logger(w io.Writer) (*slog.Logger, error) { return c.Log.New(w) }

// Flags binds upstream's command line.
func (c *Config) Flags(fs *pflag.FlagSet) { c.Table().Add(fs) }

// Reasons that several settings share.
const (
	noConntrack = "the kernel's connection tracking is left as it is"
	noIPTables  = "services are nftables maps; there are no iptables rules"
	noIPVS      = "services are nftables maps; there is no IPVS"
	noWindows   = "this is not Windows"
	noLocal     = "what comes from outside the cluster's pods is known by --cluster-cidr"
	atOnce      = "changes are applied as they come, and what comes together is applied together"
)

// Table is every flag and every field of the file, and what becomes of it.
func (c *Config) Table() flag.Table {
	return flag.Join(flag.Table{
		flag.Set("config", flag.String(&c.File), "KubeProxyConfiguration (file); flags win over it"),
		component.NodeName(&c.NodeName).At("hostnameOverride"),
		flag.Set("bind-address", flag.IP(&c.Bind), "unless it is unspecified, the address of /healthz where that has none of its own").At("bindAddress"),
		flag.Set("healthz-bind-address", flag.Typed("ipport", &c.Health), "ADDR:PORT of /healthz; empty: none").At("healthzBindAddress"),
		flag.Set("metrics-bind-address", flag.Typed("ipport", &c.Metrics), "ADDR:PORT of /metrics; empty: none").At("metricsBindAddress"),
		flag.Set("bind-address-hard-fail", flag.Bool(&c.HardFail), "end when an address cannot be served on").At("bindAddressHardFail"),
		flag.Set("cluster-cidr", flag.Prefixes(&c.ClusterCIDR), "ranges of the pods; what comes from elsewhere to a service is masqueraded").At("clusterCIDR"),
		flag.Set("proxy-mode", flag.OneOf("ProxyMode", &c.Mode, modes...), "nftables, which iptables and ipvs stand for too (the log says so), or userspace: without a packet filter; default is nftables, and userspace where nf_tables cannot be used").At("mode"),
		flag.Set("cleanup", flag.Bool(&c.Cleanup), "take the rules away and end"),
		flag.Refuse("init-only", "bool", "", "nothing of the machine needs preparing"),
		flag.Refuse("write-config-to", "string", "", "the defaults are in the documentation"),
		flag.Ignore("config-sync-period", "duration", "15m0s", "informers follow watches and need no second look").At("configSyncPeriod"),
		flag.Ignore("profiling", "bool", "", component.NoProfiles).At("enableProfiling"),
		component.HiddenMetrics().At("showHiddenMetricsForVersion"),
		flag.Refuse("nodeport-addresses", "strings", "", "node ports answer on all of the node's addresses").At("nodePortAddresses").But("0.0.0.0/0", "::/0", "0.0.0.0/0,::/0"),
		flag.Refuse("masquerade-all", "bool", "", "only what comes from outside the pods is masqueraded").At("nftables.masqueradeAll"),
		flag.Set("instance", flag.String(&c.Instance), "sampan's own: tells the tables of several clusters on one machine apart"),
	}, c.local(), conntrack(), iptables(), ipvs(),
		component.OnNode(), c.Contact.Rows("clientConnection", "5", "10"), c.Log.Rows("logging"))
}

func (c *Config) local() flag.Table {
	return flag.Table{
		flag.Refuse("detect-local-mode", "LocalMode", "", noLocal).At("detectLocalMode").But("ClusterCIDR"),
		flag.Refuse("pod-bridge-interface", "string", "", noLocal).At("detectLocal.bridgeInterface"),
		flag.Refuse("pod-interface-name-prefix", "string", "", noLocal).At("detectLocal.interfaceNamePrefix"),
		flag.Ignore("", "string", "", "the range was for the userspace proxy").At("portRange"),
		flag.Ignore("", "bool", "", noWindows).At("windowsRunAsService"),
		flag.Ignore("", "string", "", noWindows).At("winkernel"),
		flag.Ignore("", "int32", "", "the mark of masqueraded packets is the table's own").At("nftables.masqueradeBit"),
		flag.Ignore("", "duration", "", atOnce).At("nftables.syncPeriod"),
		flag.Ignore("", "duration", "", atOnce).At("nftables.minSyncPeriod"),
	}
}

func conntrack() flag.Table {
	return flag.Table{
		flag.Ignore("conntrack-max-per-core", "int32", "32768", noConntrack).At("conntrack.maxPerCore"),
		flag.Ignore("conntrack-min", "int32", "131072", noConntrack).At("conntrack.min"),
		flag.Ignore("conntrack-tcp-be-liberal", "bool", "", noConntrack).At("conntrack.tcpBeLiberal"),
		flag.Ignore("conntrack-tcp-timeout-close-wait", "duration", "1h0m0s", noConntrack).At("conntrack.tcpCloseWaitTimeout"),
		flag.Ignore("conntrack-tcp-timeout-established", "duration", "24h0m0s", noConntrack).At("conntrack.tcpEstablishedTimeout"),
		flag.Ignore("conntrack-udp-timeout", "duration", "", noConntrack).At("conntrack.udpTimeout"),
		flag.Ignore("conntrack-udp-timeout-stream", "duration", "", noConntrack).At("conntrack.udpStreamTimeout"),
	}
}

func iptables() flag.Table {
	return flag.Table{
		flag.Ignore("iptables-localhost-nodeports", "bool", "true", noIPTables).At("iptables.localhostNodePorts"),
		flag.Ignore("iptables-masquerade-bit", "int32", "14", noIPTables).At("iptables.masqueradeBit"),
		flag.Ignore("iptables-min-sync-period", "duration", "1s", noIPTables).At("iptables.minSyncPeriod"),
		flag.Ignore("iptables-sync-period", "duration", "30s", noIPTables).At("iptables.syncPeriod"),
		flag.Ignore("", "bool", "", noIPTables).At("iptables.masqueradeAll"),
	}
}

func ipvs() flag.Table {
	return flag.Table{
		flag.Ignore("ipvs-exclude-cidrs", "strings", "", noIPVS).At("ipvs.excludeCIDRs"),
		flag.Ignore("ipvs-min-sync-period", "duration", "1s", noIPVS).At("ipvs.minSyncPeriod"),
		flag.Ignore("ipvs-scheduler", "string", "", noIPVS).At("ipvs.scheduler"),
		flag.Ignore("ipvs-strict-arp", "bool", "", noIPVS).At("ipvs.strictARP"),
		flag.Ignore("ipvs-sync-period", "duration", "30s", noIPVS).At("ipvs.syncPeriod"),
		flag.Ignore("ipvs-tcp-timeout", "duration", "", noIPVS).At("ipvs.tcpTimeout"),
		flag.Ignore("ipvs-tcpfin-timeout", "duration", "", noIPVS).At("ipvs.tcpFinTimeout"),
		flag.Ignore("ipvs-udp-timeout", "duration", "", noIPVS).At("ipvs.udpTimeout"),
	}
}

// Read reads the file that --config names, if any.
func (c *Config) Read(table flag.Table, fs *pflag.FlagSet) error {
	if c.File == "" {
		return nil
	}
	return table.ReadFile(c.File, fs, "KubeProxyConfiguration", "kubeproxy.config.k8s.io/v1alpha1")
}
