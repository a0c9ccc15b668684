package component

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// ErrNoContact says that nothing leads to an API server.
var ErrNoContact = errors.New("invalid configuration: no configuration has been provided: --kubeconfig or --master is needed")

// Config reads the kubeconfig. name is the component's, for its user agent.
func (c *Contact) Config(name string) (*rest.Config, error) {
	if c.Kubeconfig == "" && c.Master == "" {
		return nil, flag.Usage{Err: ErrNoContact}
	}
	out, err := clientcmd.BuildConfigFromFlags(c.Master, c.Kubeconfig)
	if err != nil {
		return nil, flag.Usage{Err: fmt.Errorf("--kubeconfig: %w", err)}
	}
	if err := rest.LoadTLSFiles(out); err != nil {
		return nil, flag.Usage{Err: fmt.Errorf("--kubeconfig %s: %w", c.Kubeconfig, err)}
	}
	out.UserAgent = name + "/" + config.Version
	return out, nil
}

// Transport is what a door sends with whose certificate may change while it is in use: client-go keeps one for each certificate.
func Transport(conf *tls.Config) *http.Transport {
	return &http.Transport{TLSClientConfig: conf, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true, IdleConnTimeout: 90 * time.Second}
}
