package connect

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/verb"
	"sampan.dev/internal/stream"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Config says how nodes are reached and whom to ask where things are.
type Config struct {
	// Door reads pods, nodes, services and endpoint slices. It is asked for at each request, because the hub that makes it is
	// made after this.
	Door func() client.Reader
	// KubeletTLS shows the API server's certificate to kubelets and verifies theirs.
	KubeletTLS *tls.Config
	// Dial replaces the network, for tunnels; nil is the network itself.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  *slog.Logger
}

// Connector implements the hub's seam.
type Connector struct {
	cfg      Config
	kubelets *http.Transport
	trusting *http.Transport // to kubelets, where a client asked not to verify (insecureSkipTLSVerifyBackend)
	others   *http.Transport // pods, services and anything on a node that is not its kubelet
}

// New makes a connector.
func New(cfg Config) *Connector {
	if cfg.KubeletTLS == nil {
		cfg.KubeletTLS = &tls.Config{}
	}
	noVerify := cfg.KubeletTLS.Clone()
	noVerify.InsecureSkipVerify = true
	return &Connector{
		cfg:      cfg,
		kubelets: stream.NewTransport(cfg.Dial, cfg.KubeletTLS),
		trusting: stream.NewTransport(cfg.Dial, noVerify),
		others:   stream.NewTransport(cfg.Dial, &tls.Config{InsecureSkipVerify: true}), // no client certificate, nothing verified: Q14
	}
}

// Connect carries out one stream. It returns an error only while nothing has been written.
func (c *Connector) Connect(w http.ResponseWriter, r *http.Request, req *verb.Request, path string) error {
	what := req.Ref.Resource.Resource + "/" + req.Ref.Subresource
	switch what {
	case "pods/log":
		return c.log(w, r, req)
	case "pods/exec", "pods/attach":
		return c.session(w, r, req)
	case "pods/portforward":
		return c.portForward(w, r, req)
	case "pods/proxy":
		return c.proxyPod(w, r, req, path)
	case "services/proxy":
		return c.proxyService(w, r, req, path)
	case "nodes/proxy":
		return c.proxyNode(w, r, req, path)
	}
	return apierrors.NewInternalError(fmt.Errorf("no connector for %s", what))
}
