package node

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/machine/engine"
	"sampan.dev/internal/node/credential"
	"sampan.dev/internal/node/kubelet"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/serve"

	corev1 "k8s.io/api/core/v1"
)

// startKubelet runs the kubelet and its server as one part: each is of no use without the other.
func (m *Machine) startKubelet(g *daemon.Group, s *Seat, name string, services *cache.Informer[*corev1.Service]) error {
	cfg, err := m.kubeletConfig(s, name, services)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(m.paths.StaticPods, 0o700); err != nil {
		return err
	}
	serving := credential.Serving(m.paths.KubeletRoot, name, name, m.servingAddresses, func() client.Interface { return s.Door }, cfg.Log)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.Authority)
	serving.Former = roots
	serving.Load()
	m.changed = append(m.changed, serving.Look, func() {
		if k := m.kubelet.Load(); k != nil {
			k.HostChanged()
		}
	})
	g.Go("serving certificate", serving.Run)
	g.Go("kubelet", func(ctx context.Context) error { return m.runKubelet(ctx, cfg, s, serving, roots) })
	return nil
}

// servingAddresses are those that the kubelet's certificate is to name. Who reaches the node through its tunnel goes by its name,
// and the cluster cannot know whether an address behind a router is the node's.
func (m *Machine) servingAddresses() []net.IP {
	if m.cfg.Tunnel {
		return nil
	}
	return machine.NodeAddresses(m.cfg.Config)
}

// runKubelet makes a kubelet with its server and runs them until ctx ends or one fails, which ends the other.
func (m *Machine) runKubelet(ctx context.Context, cfg kubelet.Config, s *Seat, serving *credential.Credential, roots *x509.CertPool) error {
	cri, err := runtime.Dial(m.runtime, m.log.With("component", "runtime"))
	if err != nil {
		return err
	}
	defer cri.Close()
	if m.cfg.RuntimeEndpoint == "" {
		cri.BeforePull = engine.WriteRegistries(m.paths)
		cri.Offer(m.runtime, engine.Offers(m.paths))
	}
	if cfg.CgroupDriver, err = cri.CgroupDriver(ctx, cfg.CgroupDriver); err != nil {
		return err
	}
	face, health, err := kubeletListeners()
	if err != nil {
		return err
	}
	cfg.Runtime, cfg.Port = cri, int32(face.Addr().(*net.TCPAddr).Port)
	if s.Serves != nil {
		s.Serves(cfg.NodeName, uint16(cfg.Port))
	}
	k, err := kubelet.New(cfg)
	if err != nil {
		return errors.Join(err, face.Close(), closeAny(health))
	}
	m.kubelet.Store(k)
	server := serve.New(serve.Config{
		NodeName:       cfg.NodeName,
		GetCertificate: serving.GetCertificate,
		ClientCA:       roots,
		Door:           s.Door,
		Host:           k.Host(),
		Metrics:        k.Metrics(),
		Pages:          m.cfg.Kubelet.Pages(),
		Log:            m.log,
	})
	return component.Beside(ctx, k.Run, func(ctx context.Context) error {
		if err := server.Serve(ctx, face, health); err != nil {
			return fmt.Errorf("server: %w", err)
		}
		return nil
	})
}

// closeAny closes a listener that may be nil.
func closeAny(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// kubeletConfig is the kubelet's configuration but for what belongs to one run of it: the settings, and what is so because the node is
// one of sampan's own.
func (m *Machine) kubeletConfig(s *Seat, name string, services *cache.Informer[*corev1.Service]) (kubelet.Config, error) {
	cfg, err := m.cfg.Kubelet.Kubelet(name)
	if err != nil {
		return cfg, flag.Usage{Err: err}
	}
	if cfg.CloudProvider == "" {
		// A cloud would say what kind of machine it is.
		cfg.Labels = withDefault(cfg.Labels, corev1.LabelInstanceTypeStable, "sampan")
	}
	cfg.RuntimeEndpoint, cfg.Bundled = m.runtime, m.cfg.RuntimeEndpoint == ""
	cfg.LocalVolumes = filepath.Join(cfg.RootDir, "local-volumes")
	cfg.FastFailover, cfg.LastRenewal = m.cfg.FastFailover, filepath.Join(m.paths.Run, "last-renewal")
	cfg.Renewal = m.renewal
	cfg.ContainerLogs, cfg.NetworkReady, cfg.MachineID = m.paths.ContainerLogs, true, m.cfg.MachineID
	// Beside a control plane the folder is also that of what is applied to the cluster.
	cfg.StaticShare = m.paths.StaticPods == m.paths.Manifests && (s.Server == "" || m.cfg.Separate)
	cfg.Door, cfg.Services, cfg.Log = s.Door, services, m.log.With("component", "kubelet")
	if m.cfg.NodeExternalIP != "" {
		cfg.ExternalIP = net.ParseIP(m.cfg.NodeExternalIP)
	}
	return cfg, nil
}

// kubeletListeners opens the kubelet's usual ports, or free ones when another cluster of this machine has them: the hub
// learns the port from the Node. Health has no such way to be found, so without its port it is not served.
func kubeletListeners() (face, health net.Listener, err error) {
	if face, err = net.Listen("tcp", ":10250"); err != nil {
		if face, err = net.Listen("tcp", ":0"); err != nil {
			return nil, nil, fmt.Errorf("kubelet server: %w", err)
		}
	}
	health, _ = net.Listen("tcp", "127.0.0.1:10248")
	return face, health, nil
}

func withDefault(m map[string]string, key, value string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	if _, ok := m[key]; !ok {
		m[key] = value
	}
	return m
}
