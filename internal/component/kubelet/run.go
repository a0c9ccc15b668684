package kubelet

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/zpage"
	"sampan.dev/internal/config"
	"sampan.dev/internal/node/hostnet"
	"sampan.dev/internal/node/kubelet"
	"sampan.dev/internal/node/register"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/serve"

	corev1 "k8s.io/api/core/v1"
)

// Run runs the node's pods until ctx ends. It leaves containers running.
func (c *Config) Run(ctx context.Context, log *slog.Logger) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	cfg, err := c.Kubelet(name)
	if err != nil {
		return flag.Usage{Err: err}
	}
	if c.FailSwapOn && register.SwapTotal() > 0 {
		return errors.New("running with swap on is not supported, please disable swap or set --fail-swap-on flag to false")
	}
	who, err := c.identify(ctx, name, log)
	if err != nil {
		return err
	}
	if len(c.skipped) > 0 {
		log.Info("files of --config-dir do not count, for their names do not end in .conf", "files", c.skipped)
	}
	log.Info("kubelet starts", "version", config.Version, "node", name, "runtime", c.Endpoint)
	cri, err := runtime.Dial(c.Endpoint, log.With("component", "runtime"))
	if err != nil {
		return err
	}
	defer cri.Close()
	if _, err := cri.Version(ctx); err != nil {
		return fmt.Errorf("validate service connection: validate CRI v1 runtime API for endpoint %q: %w", c.Endpoint, err)
	}
	if cfg.CgroupDriver, err = cri.CgroupDriver(ctx, cfg.CgroupDriver); err != nil {
		return fmt.Errorf("get the cgroup driver of the container runtime: %w", err)
	}
	cfg.Door, cfg.Runtime, cfg.Log = who.door, cri, log
	if who.door != nil {
		set := cache.NewSet(who.door, log)
		cfg.Services = cache.For[*corev1.Service](set, client.Services, cache.Options{})
		who.run = append(who.run, set.Run)
	}
	k, err := kubelet.New(cfg)
	if err != nil {
		return err
	}
	if err := c.face(name, k, who, log); err != nil {
		return err
	}
	return component.Beside(ctx, k.Run, who.run...)
}

// face adds the server. It asks the API server about those who come; where there is none, the settings say whom to let in.
func (c *Config) face(name string, k *kubelet.Kubelet, who *identity, log *slog.Logger) error {
	cfg := serve.Config{NodeName: name, Host: k.Host(), Metrics: k.Metrics(), Log: log, Pages: c.Pages(),
		Listen: listen(c.Serve, c.Address, c.Port), HealthListen: listen(true, c.HealthAddress, c.HealthPort)}
	if who.door != nil {
		cfg.Door = who.door
	} else {
		var err error
		if cfg.Alone, err = c.unreviewed(log); err != nil {
			return err
		}
		cfg.ReadOnlyListen = listen(true, c.Address, c.ReadOnlyPort)
	}
	var err error
	if cfg.GetCertificate, err = c.serving(name, c.addresses, who, log); err != nil {
		return err
	}
	if c.ClientCA != "" {
		data, err := os.ReadFile(c.ClientCA)
		if err != nil {
			return fmt.Errorf("unable to load client CA file %s: %w", c.ClientCA, err)
		}
		cfg.ClientCA = x509.NewCertPool()
		if !cfg.ClientCA.AppendCertsFromPEM(data) {
			return fmt.Errorf("unable to load client CA file %s: no certificate in it", c.ClientCA)
		}
	}
	who.run = append(who.run, serve.New(cfg).Run)
	return nil
}

// Pages are /flagz and /statusz.
func (c *Config) Pages() map[string]http.Handler {
	return map[string]http.Handler{
		"/flagz": zpage.Flags("kubelet", func() map[string]string { return c.Table().Values() }),
		"/statusz": zpage.Status("kubelet", config.Version, time.Now(), []string{"/attach", "/configz", "/containerLogs", "/exec", "/flagz", "/healthz", "/logs", "/metrics",
			"/metrics/cadvisor", "/metrics/probes", "/metrics/resource", "/pods", "/portForward", "/run", "/runningpods", "/stats", "/statusz"}),
	}
}

// addresses are those that the node's serving certificate names.
func (c *Config) addresses() []net.IP {
	if ips, _ := NodeIPs(c.NodeIP); len(ips) > 0 {
		return ips
	}
	ip, err := hostnet.Address()
	if err != nil {
		return nil
	}
	return []net.IP{ip}
}
