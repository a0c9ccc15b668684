package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Result of a probe.
type Result uint8

// Results; Unknown is "not asked yet", or asked in vain.
const (
	Unknown Result = iota
	Success
	Failure
	Warning // a success to be told about
)

func (r Result) String() string { return [...]string{"unknown", "success", "failure", "warning"}[r] }

// agent is the User-Agent that probes show: servers and the e2e suite look for it.
const agent = "kube-%s/1.37"

const maxBody = 10 << 10

// Exec runs a command in the container: its combined output and exit code, or an error when it could not be run. An error
// for which errors.Is(err, context.DeadlineExceeded) holds counts as a failure.
type Exec func(ctx context.Context, cmd []string, timeout time.Duration) (out []byte, code int32, err error)

// Target is what is probed.
type Target struct {
	Container *corev1.Container
	PodIP     string
	Exec      Exec
}

// Do probes once. output is for the event; err means the probe could not be made and says nothing of the container.
func Do(ctx context.Context, p *corev1.Probe, t Target) (r Result, output string, err error) {
	timeout := time.Duration(max(1, p.TimeoutSeconds)) * time.Second
	switch {
	case p.Exec != nil:
		return doExec(ctx, t, ExpandStatic(p.Exec.Command, t.Container.Env), timeout)
	case p.HTTPGet != nil:
		req, err := Request(ctx, p.HTTPGet, t.Container, t.PodIP, "probe")
		if err != nil {
			return Unknown, "", err
		}
		return doHTTP(req, timeout)
	case p.TCPSocket != nil:
		port, err := Port(p.TCPSocket.Port, t.Container)
		if err != nil {
			return Unknown, "", err
		}
		host := p.TCPSocket.Host
		if host == "" {
			host = t.PodIP
		}
		return doTCP(ctx, net.JoinHostPort(host, strconv.Itoa(port)), timeout)
	case p.GRPC != nil:
		service := ""
		if p.GRPC.Service != nil {
			service = *p.GRPC.Service
		}
		useTLS := p.GRPC.Mode != nil && *p.GRPC.Mode == corev1.GRPCProbeModeTLS
		return doGRPC(ctx, net.JoinHostPort(t.PodIP, strconv.Itoa(int(p.GRPC.Port))), service, useTLS, timeout)
	}
	return Unknown, "", fmt.Errorf("missing probe handler for %s", t.Container.Name)
}

func doExec(ctx context.Context, t Target, cmd []string, timeout time.Duration) (Result, string, error) {
	out, code, err := t.Exec(ctx, cmd, timeout)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Failure, err.Error(), nil
	case err != nil:
		return Unknown, "", err
	}
	text := string(out[:min(len(out), maxBody)])
	if code != 0 {
		return Failure, text, nil
	}
	return Success, text, nil
}

// dialer resets connections rather than leaving them in TIME_WAIT: probes are many and short.
func dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: timeout, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			syscall.SetsockoptLinger(int(fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1, Linger: 1})
		})
	}}
}

// Request makes the GET that an HTTP action describes. purpose ("probe", "lifecycle") goes into the User-Agent.
func Request(ctx context.Context, a *corev1.HTTPGetAction, c *corev1.Container, podIP, purpose string) (*http.Request, error) {
	port, err := Port(a.Port, c)
	if err != nil {
		return nil, err
	}
	host := a.Host
	if host == "" {
		host = podIP
	}
	u, err := url.Parse(a.Path)
	if err != nil {
		u = &url.URL{Path: a.Path}
	}
	u.Scheme = strings.ToLower(string(a.Scheme))
	if u.Scheme == "" {
		u.Scheme = "http"
	}
	u.Host = net.JoinHostPort(host, strconv.Itoa(port))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	h := http.Header{}
	for _, kv := range a.HTTPHeaders {
		h.Add(kv.Name, kv.Value)
	}
	if _, ok := h["User-Agent"]; !ok {
		h.Set("User-Agent", fmt.Sprintf(agent, purpose))
	}
	if _, ok := h["Accept"]; !ok {
		h.Set("Accept", "*/*")
	} else if h.Get("Accept") == "" {
		h.Del("Accept")
	}
	req.Header, req.Host = h, h.Get("Host")
	return req, nil
}

// Client makes HTTP requests to containers: no proxy, no connection kept, any certificate, and redirects only within the
// same host.
func Client(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
			DisableKeepAlives:  true,
			DisableCompression: true,
			ForceAttemptHTTP2:  true,
			DialContext:        dialer(timeout).DialContext,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if req.URL.Hostname() != via[0].URL.Hostname() {
				return http.ErrUseLastResponse
			}
			if len(via) >= 10 {
				return errors.New("stopped after 10 redirects")
			}
			return nil
		},
	}
}

func doHTTP(req *http.Request, timeout time.Duration) (Result, string, error) {
	res, err := Client(timeout).Do(req)
	if err != nil {
		return Failure, err.Error(), nil
	}
	defer res.Body.Close()
	var body bytes.Buffer
	if _, err := io.Copy(&body, io.LimitReader(res.Body, maxBody)); err != nil {
		return Failure, "", err
	}
	switch {
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return Warning, "Probe terminated redirects, Response body: " + body.String(), nil
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return Success, body.String(), nil
	}
	// The body stays out of the event: it may hold what is not for everyone who can read events.
	return Failure, fmt.Sprintf("HTTP probe failed with statuscode: %d", res.StatusCode), nil
}

func doTCP(ctx context.Context, addr string, timeout time.Duration) (Result, string, error) {
	conn, err := dialer(timeout).DialContext(ctx, "tcp", addr)
	if err != nil {
		return Failure, err.Error(), nil
	}
	conn.Close()
	return Success, "", nil
}

func doGRPC(ctx context.Context, addr, service string, useTLS bool, timeout time.Duration) (Result, string, error) {
	creds := insecure.NewCredentials()
	if useTLS {
		creds = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithUserAgent(fmt.Sprintf(agent, "probe")), grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return dialer(timeout).DialContext(ctx, "tcp", addr)
		}))
	if err != nil {
		return Failure, fmt.Sprintf("error: failed to connect service at %q: %+v", addr, err), nil
	}
	defer conn.Close()
	res, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service}, grpc.WaitForReady(true))
	switch status.Code(err) {
	case codes.OK:
	case codes.Unimplemented:
		return Failure, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): " + status.Convert(err).Message(), nil
	case codes.DeadlineExceeded:
		if strings.Contains(err.Error(), "connection") { // never got as far as asking
			return Failure, fmt.Sprintf("timeout: failed to connect service %q within %v: %+v", addr, timeout, context.DeadlineExceeded), nil
		}
		return Failure, fmt.Sprintf("timeout: health rpc did not complete within %v", timeout), nil
	default:
		return Failure, fmt.Sprintf("error: health rpc probe failed: %+v", err), nil
	}
	if res.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return Failure, fmt.Sprintf("service unhealthy (responded with %q)", res.GetStatus().String()), nil
	}
	return Success, "service healthy", nil
}

// Port resolves a port by number or by the name it has in the container.
func Port(p intstr.IntOrString, c *corev1.Container) (int, error) {
	port := p.IntValue()
	if p.Type == intstr.String {
		for i := range c.Ports {
			if c.Ports[i].Name == p.StrVal {
				port = int(c.Ports[i].ContainerPort)
			}
		}
		if port == 0 {
			return 0, fmt.Errorf("strconv.Atoi: parsing %q: invalid syntax", p.StrVal)
		}
	}
	if port < 1 || port > 65535 {
		return 0, fmt.Errorf("invalid port number: %v", port)
	}
	return port, nil
}
