package callout

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Backoff is how often and how soon a question is asked again; every pause is half as long again as the one before, and up to a
// fifth more.
type Backoff struct {
	First time.Duration
	Times int // questions in all; at least one is asked
}

// DefaultBackoff is upstream's for authentication and authorization.
var DefaultBackoff = Backoff{First: 500 * time.Millisecond, Times: 5}

// timeout of one question.
const timeout = 30 * time.Second

// mostAnswer is how many bytes of an answer are read.
const mostAnswer = 3 << 20

// Client asks one server.
type Client struct {
	http    *http.Client
	at      string
	backoff Backoff
	always  bool
}

// Config makes a Client.
type Config struct {
	File    string // a kubeconfig: its current context says where, and with what credentials
	Backoff Backoff
	// Always asks again whatever the error is; otherwise only when that is likely to help.
	Always bool
	// Dial makes connections; nil: the network's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout of one question; zero: 30 seconds.
	Timeout time.Duration
}

// New reads the file. Nothing is asked.
func New(cfg Config) (*Client, error) {
	rc, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: cfg.File}, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, err
	}
	return NewFor(rc, cfg)
}

// NewFor makes a client of what a kubeconfig says.
func NewFor(rc *rest.Config, cfg Config) (*Client, error) {
	rc.Dial, rc.Timeout = cfg.Dial, timeout
	if cfg.Timeout != 0 {
		rc.Timeout = cfg.Timeout
	}
	hc, err := rest.HTTPClientFor(rc)
	if err != nil {
		return nil, err
	}
	base, _, err := rest.DefaultServerUrlFor(rc)
	if err != nil {
		return nil, err
	}
	at := *base
	if u, err := url.Parse(rc.Host); err == nil && u.Host != "" {
		at = *u // with its path, which is the whole of it
	}
	return &Client{http: hc, at: at.String(), backoff: cfg.Backoff, always: cfg.Always}, nil
}

// Post sends in as JSON and reads the answer into out, if that is not nil. It asks again as the backoff says.
func (c *Client) Post(ctx context.Context, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.PostJSON(ctx, body, out)
}

// PostJSON is Post for what is encoded already.
func (c *Client) PostJSON(ctx context.Context, body []byte, out any) error {
	pause := c.backoff.First
	for n := 1; ; n++ {
		err := c.once(ctx, body, out)
		if err == nil || n >= c.backoff.Times || ctx.Err() != nil || !c.always && !passing(err) {
			return err
		}
		t := time.NewTimer(pause + time.Duration(rand.Float64()*0.2*float64(pause)))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
		pause += pause / 2
	}
}

func (c *Client) once(ctx context.Context, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.at, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, */*")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		var s metav1.Status
		if json.Unmarshal(data, &s) == nil && s.Kind == "Status" && s.Status != metav1.StatusSuccess {
			return &apierrors.StatusError{ErrStatus: s}
		}
		return apierrors.NewGenericServerResponse(resp.StatusCode, "POST", schema.GroupResource{}, "", string(data), 0, true)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("couldn't get version/kind; json parse error: %w", err)
	}
	return nil
}

// passing reports whether the same question may be answered a moment later.
func passing(err error) bool {
	if utilnet.IsConnectionReset(err) || utilnet.IsHTTP2ConnectionLost(err) || apierrors.IsInternalError(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) {
		return true
	}
	_, wait := apierrors.SuggestsClientDelay(err)
	return wait
}
