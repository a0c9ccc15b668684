package suite

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"

	"sampan.dev/internal/cloud/local"
	"sampan.dev/internal/component/apiserver"
	"sampan.dev/internal/component/cloud"
	"sampan.dev/internal/component/controllers"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/kubelet"
	"sampan.dev/internal/component/proxy"
	"sampan.dev/internal/component/scheduler"
	"sampan.dev/internal/config"
	"sampan.dev/internal/control"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/obs"
	"sampan.dev/internal/tunnel/konnectivity/selector"

	"github.com/spf13/pflag"
)

// Config is a cluster, or a node of one: where it is on this machine, and the settings of the programs that it is made of. The
// places, names and addresses that all of them must agree on are [config.Config]'s; each program's own field for them is filled in
// where the program is made.
type Config struct {
	config.Config

	API         *apiserver.Config
	Controllers *controllers.Config
	Scheduler   *scheduler.Config
	Kubelet     *kubelet.Config
	Proxy       *proxy.Config
	Cloud       *cloud.Config // its loops run among the controllers

	NoScheduler    bool // another one does it
	NoLocalStorage bool // no classes local-path and standard

	nodeFlags *pflag.FlagSet // those of NodeFlags: what is given there counts more than --kubelet-config
}

// New is what `sampan up` alone means.
func New() Config {
	c := Config{
		Config: config.Default(), API: apiserver.New(), Controllers: controllers.New(), Scheduler: scheduler.New(), Kubelet: kubelet.New(), Proxy: proxy.New(),
		Cloud: cloud.New(),
	}
	c.Kubelet.Endpoint = ""                             // the bundled runtime's
	c.Kubelet.FailSwapOn = false                        // what pods may have of it is limited
	c.Kubelet.SerialPulls, c.Kubelet.PullQPS = false, 0 // nobody waits for another's image
	c.Controllers.AllocateNodeCIDRs = true
	return c
}

// Check finds what is wrong with the settings, all of it before anything is made or started, and completes them: paths become
// absolute, and what several programs have to know is given to each.
func (c *Config) Check() error {
	if err := c.Config.Validate(); err != nil {
		return flag.Usage{Err: err}
	}
	if err := c.complete(); err != nil {
		return err
	}
	if err := cmp.Or(c.idle(), c.checkOut()); err != nil {
		return flag.Usage{Err: err}
	}
	if _, err := obs.NewLogger(io.Discard, c.LogLevel, c.LogFormat); err != nil {
		return flag.Usage{Err: err}
	}
	manager, err := c.Controllers.Manager(slog.New(slog.DiscardHandler))
	if err != nil {
		return flag.Usage{Err: err}
	}
	if manager.Cloud, err = c.Cloud.Loops(slog.New(slog.DiscardHandler)); err != nil {
		return flag.Usage{Err: fmt.Errorf("--cloud: %w", err)}
	}
	if _, err := control.New(manager); err != nil {
		return flag.Usage{Err: fmt.Errorf("--controllers: %w", err)}
	}
	if _, err := c.API.Hub(); err != nil {
		return flag.Usage{Err: err}
	}
	if _, err := c.Authorizers(); err != nil {
		return flag.Usage{Err: err}
	}
	encryption, err := c.API.Encryption(slog.New(slog.DiscardHandler))
	if err != nil {
		return flag.Usage{Err: err}
	}
	if encryption != nil {
		encryption.Close()
	}
	egress, err := c.API.Egress()
	if err == nil && c.NodeTunnel != "" && egress[selector.Cluster] != nil {
		err = fmt.Errorf("--node-tunnel and the selection %q of --egress-selector-config-file both say how nodes are reached", selector.Cluster)
	}
	if err != nil {
		return flag.Usage{Err: err}
	}
	if _, err := c.Kubelet.Kubelet(c.NodeName); err != nil {
		return flag.Usage{Err: err}
	}
	return nil
}

// idle refuses flags that would do nothing beside the others: their files would not even be looked at.
func (c *Config) idle() error {
	if c.Cloud.File != "" && (c.Cloud.Provider == local.Name || c.Cloud.Provider == cloud.None) {
		return fmt.Errorf("--cloud-config %s: --cloud=%s has no configuration", c.Cloud.File, c.Cloud.Provider)
	}
	for _, f := range [][2]string{{"--etcd-cafile", c.API.EtcdCA}, {"--etcd-certfile", c.API.EtcdCert}, {"--etcd-keyfile", c.API.EtcdKey}} {
		if f[1] != "" && len(c.API.EtcdServers) == 0 {
			return fmt.Errorf("%s %s: there is no etcd elsewhere without --etcd-servers", f[0], f[1])
		}
	}
	return nil
}

// checkOut looks, before anything is started, whether the kubeconfig can be where it is wanted.
func (c *Config) checkOut() error {
	if c.KubeconfigOut == "" {
		return nil
	}
	switch info, err := os.Stat(c.KubeconfigOut); {
	case err == nil && info.IsDir():
		return fmt.Errorf("--kubeconfig-out %s: is a directory", c.KubeconfigOut)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("--kubeconfig-out: %w", err)
	}
	return nil
}

// Authorizers are who decides what callers of the API server may do: what --authorization-* say, and where they say nothing, Node and
// RBAC. (A kube-apiserver alone lets everybody do everything then.)
func (c *Config) Authorizers() (*authz.Settings, error) {
	api := *c.API
	if len(api.Authorization.Modes) == 0 && api.Authorization.File == "" {
		api.Authorization.Modes = []string{"Node", "RBAC"}
	}
	return api.Authorizers()
}

// complete gives each program what it shares with the others.
func (c *Config) complete() error {
	for _, file := range []*string{&c.Cloud.File, &c.API.Audit.Policy, &c.API.Authorization.File, &c.API.Authorization.PolicyFile, &c.API.Authorization.WebhookFile, &c.API.Audit.Webhook.File, &c.API.JWT.File, &c.API.JWT.CAFile, &c.API.TokenFile, &c.API.TokenWebhook.File, &c.API.EncryptionFile, &c.API.EgressFile, &c.API.AdmissionFile, &c.API.KubeletCA, &c.API.EtcdCA, &c.API.EtcdCert, &c.API.EtcdKey} {
		if *file == "" {
			continue
		}
		abs, err := filepath.Abs(*file)
		if err != nil {
			return err
		}
		*file = abs
	}
	if log := &c.API.Audit.Log; log.Path != "" && log.Path != "-" {
		abs, err := filepath.Abs(log.Path)
		if err != nil {
			return err
		}
		log.Path = abs
	}
	if c.Kubelet.File != "" {
		abs, err := filepath.Abs(c.Kubelet.File)
		if err != nil {
			return err
		}
		c.Kubelet.File = abs
		if err := c.Kubelet.Read(c.Kubelet.Table(), c.nodeFlags); err != nil {
			return flag.Usage{Err: err}
		}
	}
	pods, services := netip.MustParsePrefix(c.ClusterCIDR), netip.MustParsePrefix(c.ServiceCIDR) // Validate has read them
	c.Controllers.ClusterCIDRs, c.Controllers.ServiceCIDRs = []netip.Prefix{pods}, []netip.Prefix{services}
	c.Proxy.ClusterCIDR, c.Proxy.Instance = []netip.Prefix{pods}, c.Instance()
	paths := c.Paths()
	c.Kubelet.RootDir, c.Kubelet.PodLogs, c.Kubelet.StaticPods, c.Kubelet.CgroupRoot = paths.KubeletRoot, paths.PodLogs, paths.StaticPods, paths.CgroupRoot
	c.Kubelet.ClusterDNS, c.Kubelet.Domain = []string{c.DNSIP().String()}, c.ClusterDomain
	c.Kubelet.NodeIP = c.NodeIP
	c.Controllers.Gates, c.Scheduler.Gates = c.API.Gates, c.API.Gates
	c.Cloud.ClusterCIDRs, c.Cloud.AllocateCIDRs = []netip.Prefix{pods}, true
	if c.Cloud.Provider == "" {
		c.Cloud.Provider = local.Name
		if c.Kubelet.CloudProvider != "" {
			c.Cloud.Provider = cloud.None // the node waits for a program elsewhere, which has the loops
		}
	}
	if err := c.checkRanges(pods, services); err != nil {
		return flag.Usage{Err: fmt.Errorf("--load-balancer-range: %w", err)}
	}
	if c.Cloud.Provider != local.Name && c.Cloud.Provider != cloud.None {
		c.Kubelet.CloudProvider = "external" // what the node is comes from the loops of this cloud
	}
	if usual := kubelet.New(); c.Kubelet.StatusEvery != usual.StatusEvery {
		c.Kubelet.ReportEvery = c.Kubelet.StatusEvery // who wants it more or less often means both, as upstream's file does
	}
	return nil
}
