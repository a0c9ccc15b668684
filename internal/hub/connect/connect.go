package connect

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/egress"
	"sampan.dev/internal/hub/verb"
	"sampan.dev/internal/stream"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Config says how nodes are reached and whom to ask where things are.
type Config struct {
	// Door reads pods, nodes, services and endpoint slices. It is asked for at each request, because the hub that makes it is
	// made after this.
	Door func() client.Reader
	// KubeletTLS shows the API server's certificate to kubelets and verifies theirs, by the name of their node.
	KubeletTLS *tls.Config
	// ByAddress has it verify them by the address that is dialled instead, for certificates that name nothing else.
	ByAddress bool
	// Egress makes every connection. Nil is one that keeps away from what no cluster has.
	Egress *egress.Dialer
	// Local is the node whose kubelet runs in this very process, and where that listens: known, not said by anybody, and on
	// a machine without a network a loopback's. Nil, or an empty name: there is none (yet).
	Local func() (node string, at netip.AddrPort)
	Log   *slog.Logger
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
	if cfg.Egress == nil {
		cfg.Egress = egress.New(egress.Config{})
	}
	if cfg.Local == nil {
		cfg.Local = func() (string, netip.AddrPort) { return "", netip.AddrPort{} }
	}
	noVerify := cfg.KubeletTLS.Clone()
	noVerify.InsecureSkipVerify, noVerify.VerifyConnection = true, nil
	c := &Connector{cfg: cfg}
	c.kubelets = stream.NewTransport(c.dialKubelet, cfg.KubeletTLS)
	c.trusting = stream.NewTransport(c.dialKubelet, noVerify)
	c.others = stream.NewTransport(cfg.Egress.DialContext, &tls.Config{InsecureSkipVerify: true}) // no client certificate, nothing verified
	return c
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
