package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/node/credential"
	"sampan.dev/internal/pki"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// RemoteSeat is a node's place in a cluster that it reaches over the network. The node's client certificate is its identity:
// asked for with the bootstrap token when there is none, kept in the kubelet's directory, and renewed in time.
func RemoteSeat(g *daemon.Group, cfg config.Config, paths config.Paths, authority []byte, token string, log *slog.Logger) (*Seat, error) {
	name, err := cfg.Node()
	if err != nil {
		return nil, err
	}
	server, err := rememberServer(cfg, paths)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s holds no certificate", filepath.Join(paths.PKI, "ca.crt"))
	}
	var door client.Interface
	cred := credential.Client(paths.KubeletRoot, name, func() client.Interface { return door }, log.With("component", "credential"))
	joined := cred.Load()
	if !joined && token == "" {
		return nil, flag.Usage{Err: errors.New("this node has not joined yet: --token is needed")}
	}
	withCertificate, err := remote.New(remoteConfig(server, roots, cred.GetClientCertificate, ""))
	if err != nil {
		return nil, err
	}
	if !joined {
		if door, err = remote.New(remoteConfig(server, roots, nil, token)); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(g.Context(), 2*time.Minute)
		defer cancel()
		if err := cred.Obtain(ctx); err != nil {
			return nil, fmt.Errorf("join %s: %w", server, err)
		}
	}
	door = withCertificate
	g.Go("client certificate", cred.Run)
	s := &Seat{Door: door, Authority: authority, Server: server, TLS: &tls.Config{RootCAs: roots, GetClientCertificate: cred.GetClientCertificate, MinVersion: tls.VersionTLS12}}
	s.Proxy, err = proxyDoor(door, name, remoteConfig(server, roots, nil, ""), remoteConfig(server, roots, cred.GetClientCertificate, ""), log)
	return s, err
}

// proxyDoor is how the node's proxy, network and DNS reach the API server: as an account of their own, with tokens that the node
// asks for. bare and own connect without credentials and with the node's.
func proxyDoor(node client.Interface, name string, bare, own *rest.Config, log *slog.Logger) (client.Interface, error) {
	account := &remote.Account{Namespace: metav1.NamespaceSystem, Name: api.ProxyAccount, Node: name, Door: node, Log: log.With("component", "credential")}
	var err error
	if account.Bare, err = rest.TransportFor(bare); err != nil {
		return nil, err
	}
	if account.Own, err = rest.TransportFor(own); err != nil {
		return nil, err
	}
	return remote.New(&rest.Config{Host: bare.Host, UserAgent: "kube-proxy/" + config.Version, Transport: account})
}

// KubeconfigSeat is the place in a cluster that a kubeconfig describes, as the stock kubelet's --kubeconfig does. Its
// credentials are used as they are; who made them renews them.
func KubeconfigSeat(file, name string, log *slog.Logger) (*Seat, error) {
	loaded, err := clientcmd.LoadFromFile(file)
	if err != nil {
		return nil, flag.Usage{Err: fmt.Errorf("--kubeconfig: invalid kubeconfig: %w", err)}
	}
	c, err := clientcmd.NewDefaultClientConfig(*loaded, nil).ClientConfig()
	if err != nil {
		return nil, flag.Usage{Err: fmt.Errorf("--kubeconfig %s: %w", file, err)}
	}
	if err := rest.LoadTLSFiles(c); err != nil {
		return nil, flag.Usage{Err: fmt.Errorf("--kubeconfig %s: %w", file, err)}
	}
	if len(c.CAData) == 0 {
		return nil, flag.Usage{Err: fmt.Errorf("--kubeconfig %s: it names no certificate authority", file)}
	}
	c.UserAgent = "kubelet/" + config.Version
	door, err := remote.New(c)
	if err != nil {
		return nil, err
	}
	s := &Seat{Door: door, Authority: c.CAData, Server: c.Host}
	if s.TLS, err = rest.TLSConfigFor(c); err != nil {
		return nil, flag.Usage{Err: fmt.Errorf("--kubeconfig %s: %w", file, err)}
	}
	s.Proxy, err = proxyDoor(door, name, rest.AnonymousClientConfig(c), c, log)
	return s, err
}

// remoteConfig connects to the API server, verifying it, with a client certificate that may be renewed or with a token.
func remoteConfig(server string, roots *x509.CertPool, cert func(*tls.CertificateRequestInfo) (*tls.Certificate, error), token string) *rest.Config {
	return &rest.Config{
		Host:        server,
		UserAgent:   "kubelet/" + config.Version,
		BearerToken: token,
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: roots, GetClientCertificate: cert, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: 10 * time.Second,
			ForceAttemptHTTP2:   true,
			IdleConnTimeout:     90 * time.Second,
		},
	}
}

// rememberServer keeps the API server's URL beside the node's data, so that only the first start needs it.
func rememberServer(cfg config.Config, paths config.Paths) (string, error) {
	file := filepath.Join(paths.Data, "server")
	if cfg.Server != "" {
		return cfg.Server, pki.WriteFile(file, []byte(cfg.Server+"\n"), 0o600)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", flag.Usage{Err: errors.New("--server is needed the first time")}
	}
	return strings.TrimSpace(string(data)), nil
}
