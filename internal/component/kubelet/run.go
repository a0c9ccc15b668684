package kubelet

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/node/hostnet"
	"sampan.dev/internal/node/kubelet"
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
	who, err := c.identify(ctx, name, log)
	if err != nil {
		return err
	}
	log.Info("kubelet starts", "version", config.Version, "node", name, "runtime", c.Endpoint)
	cri, err := runtime.Dial(c.Endpoint, log.With("component", "runtime"))
	if err != nil {
		return err
	}
	defer cri.Close()
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
	if c.Serve && who.door != nil {
		if err := c.face(name, k, who, log); err != nil {
			return err
		}
	}
	return component.Beside(ctx, k.Run, who.run...)
}

// face adds the HTTPS server, which asks the API server about those who come.
func (c *Config) face(name string, k *kubelet.Kubelet, who *identity, log *slog.Logger) error {
	certificate, err := c.serving(name, c.addresses, who, log)
	if err != nil {
		return err
	}
	cfg := serve.Config{NodeName: name, GetCertificate: certificate, Door: who.door, Host: k.Host(), Metrics: k.Metrics(), Log: log,
		Listen: net.JoinHostPort(c.Address.String(), strconv.Itoa(int(c.Port)))}
	if c.HealthPort != 0 {
		cfg.HealthListen = net.JoinHostPort(c.HealthAddress.String(), strconv.Itoa(int(c.HealthPort)))
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
