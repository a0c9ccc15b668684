package kubelet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/node/credential"
	"sampan.dev/internal/pki"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

// identity is who the node is to the API server, and what keeps that so.
type identity struct {
	door client.Interface // nil: there is no API server, static pods alone run
	run  []func(context.Context) error
}

// identify opens the door. Where there is no kubeconfig yet but one to begin with, a certificate is asked for with it and a
// kubeconfig written that names the certificate's file, as upstream does.
func (c *Config) identify(ctx context.Context, name string, log *slog.Logger) (*identity, error) {
	if c.Kubeconfig == "" {
		if c.BootstrapKubeconfig != "" {
			return nil, flag.Usage{Err: errors.New("--bootstrap-kubeconfig: --kubeconfig is needed, to say where the one that comes of it goes")}
		}
		return &identity{}, nil
	}
	var door client.Interface
	cred := credential.Client(c.RootDir, name, func() client.Interface { return door }, log.With("component", "credential"))
	cred.File = filepath.Join(c.CertDir, "kubelet-client-current.pem")
	if _, err := os.Stat(c.Kubeconfig); errors.Is(err, fs.ErrNotExist) && c.BootstrapKubeconfig != "" {
		if err := c.bootstrap(ctx, cred, &door); err != nil {
			return nil, err
		}
	}
	rc, err := (&component.Contact{Kubeconfig: c.Kubeconfig}).Config("kubelet")
	if err != nil {
		return nil, err
	}
	out := &identity{}
	if c.Rotate && cred.Load() {
		if rc, err = following(rc, cred); err != nil {
			return nil, err
		}
		out.run = append(out.run, cred.Run)
	}
	if door, err = remote.New(rc); err != nil {
		return nil, err
	}
	out.door = door
	return out, nil
}

// bootstrap asks for the node's certificate with the credentials to begin with and writes the kubeconfig.
func (c *Config) bootstrap(ctx context.Context, cred *credential.Credential, door *client.Interface) error {
	begin := component.Contact{Kubeconfig: c.BootstrapKubeconfig}
	rc, err := begin.Config("kubelet")
	if err != nil {
		return err
	}
	if *door, err = remote.New(rc); err != nil {
		return err
	}
	if !cred.Load() {
		if err := cred.Obtain(ctx); err != nil {
			return fmt.Errorf("bootstrap with %s: %w", c.BootstrapKubeconfig, err)
		}
	}
	kc := clientcmdapi.NewConfig()
	kc.Clusters["default-cluster"] = &clientcmdapi.Cluster{Server: rc.Host, CertificateAuthorityData: rc.CAData}
	kc.AuthInfos["default-auth"] = &clientcmdapi.AuthInfo{ClientCertificate: cred.File, ClientKey: cred.File}
	kc.Contexts["default-context"] = &clientcmdapi.Context{Cluster: "default-cluster", AuthInfo: "default-auth"}
	kc.CurrentContext = "default-context"
	data, err := clientcmd.Write(*kc)
	if err != nil {
		return err
	}
	return pki.WriteFile(c.Kubeconfig, data, 0o600)
}

// following is rc with a client certificate that may be replaced while it is in use.
func following(rc *rest.Config, cred *credential.Credential) (*rest.Config, error) {
	conf, err := rest.TLSConfigFor(rest.AnonymousClientConfig(rc))
	if err != nil {
		return nil, err
	}
	if conf == nil {
		conf = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	conf.GetClientCertificate = cred.GetClientCertificate
	out := rest.AnonymousClientConfig(rc)
	out.TLSClientConfig = rest.TLSClientConfig{}
	out.Transport = component.Transport(conf)
	return out, nil
}

// serving is the certificate that the node's server shows: that of the flags, one that the cluster issues, or a self-signed one.
func (c *Config) serving(name string, ips func() []net.IP, who *identity, log *slog.Logger) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	switch {
	case c.CertFile != "":
		pair, err := pki.LoadPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, err
		}
		return pair.GetCertificate, nil
	case c.BootstrapServing && who.door != nil:
		cred := credential.Serving(c.RootDir, name, name, ips, func() client.Interface { return who.door }, log.With("component", "credential"))
		cred.File = filepath.Join(c.CertDir, "kubelet-server-current.pem")
		cred.Load()
		who.run = append(who.run, cred.Run)
		return cred.GetCertificate, nil
	}
	pair, err := pki.SelfSigned(name, ips()...)
	if err != nil {
		return nil, err
	}
	return pair.GetCertificate, nil
}
