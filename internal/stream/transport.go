package stream

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

var errUpgradeRequired = apierrors.NewBadRequest("Upgrade request required")

// Dial opens a connection; nil means the network.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// NewTransport makes a transport for streams: HTTP/1.1 only, without a limit on how long an answer takes to begin (a log
// that is followed may be silent), and without a proxy from the environment.
func NewTransport(dial Dial, cfg *tls.Config) *http.Transport {
	if dial == nil {
		dial = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	if cfg != nil {
		cfg = cfg.Clone()
		cfg.NextProtos = []string{"http/1.1"}
	}
	return &http.Transport{
		DialContext:         dial,
		TLSClientConfig:     cfg,
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConnsPerHost: 4,
		DisableCompression:  true,
	}
}
