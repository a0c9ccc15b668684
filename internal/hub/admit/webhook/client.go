package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"sync"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/egress"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// address is where a webhook is, and whose certificate it shows. Webhooks at one address share a client.
type address struct {
	url             string // "" for one behind a Service
	namespace, name string // of the Service
	path            string
	port            int32
	authority       string // PEM; "" for those that the machine believes
	as              *Identity
}

func addressOf(c *admissionv1.WebhookClientConfig, as *Identity) address {
	a := address{authority: string(c.CABundle), as: as}
	if s := c.Service; s != nil {
		a.namespace, a.name, a.port = s.Namespace, s.Name, 443
		if s.Port != nil {
			a.port = *s.Port
		}
		if s.Path != nil {
			a.path = *s.Path
		}
	} else if c.URL != nil {
		a.url = *c.URL
	}
	return a
}

// host is what certificates name and what is dialled: for a Service, the name that it has in the cluster.
func (a address) host() string {
	return net.JoinHostPort(a.name+"."+a.namespace+".svc", strconv.Itoa(int(a.port)))
}

// clients are the clients of the webhooks that are configured, so that connections outlive a change of the configuration.
type clients struct {
	cfg Config
	mu  struct {
		sync.Mutex
		byAddress map[address]*caller
		used      map[string][]address // by kind
	}
}

func newClients(cfg Config) *clients {
	c := &clients{cfg: cfg}
	if c.cfg.Egress == nil {
		c.cfg.Egress = egress.New(egress.Config{})
	}
	c.mu.byAddress, c.mu.used = map[address]*caller{}, map[string][]address{}
	return c
}

// caller asks the webhooks at one address.
type caller struct {
	url      string
	http     *http.Transport // follows no redirection: who answers could otherwise send the API server wherever he likes
	identity *credentials
}

// of returns the client for an address.
func (c *clients) of(a address) (*caller, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if have := c.mu.byAddress[a]; have != nil {
		return have, nil
	}
	made, err := c.make(a)
	if err == nil {
		c.mu.byAddress[a] = made
	}
	return made, err
}

// keep notes where the webhooks of a kind are, and closes connections to where there is none any more.
func (c *clients) keep(kind string, to []address) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.used[kind] = to
	used := map[address]bool{}
	for _, list := range c.mu.used {
		for _, a := range list {
			used[a] = true
		}
	}
	for a, have := range c.mu.byAddress {
		if !used[a] {
			have.http.CloseIdleConnections()
			delete(c.mu.byAddress, a)
		}
	}
}

func (c *clients) make(a address) (*caller, error) {
	out := &caller{}
	name, target := "", a.host()
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) { return c.dialService(ctx, network, a) }
	if a.url == "" {
		out.url, name = "https://"+target+path.Join("/", a.path), a.name+"."+a.namespace+".svc"
	} else {
		u, err := url.Parse(a.url)
		if err != nil {
			return nil, fmt.Errorf("unparsable URL: %w", err)
		}
		out.url, name, target = u.Scheme+"://"+u.Host+path.Join("/", u.Path), u.Hostname(), u.Host
		if u.Port() == "" {
			target = net.JoinHostPort(u.Hostname(), "443")
		}
		dial = c.cfg.Egress.DialWritten
	}
	conf := &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12}
	if a.authority != "" {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM([]byte(a.authority)) {
			return nil, errors.New("unable to load root certificates: unable to parse bytes as PEM block")
		}
	}
	var err error
	if out.identity, err = a.as.forHost(target); err != nil {
		return nil, err
	}
	out.identity.show(conf)
	// One request at a time on a connection: those of one connection would all be for one of the endpoints of a Service.
	out.http = &http.Transport{
		DialContext: dial, TLSClientConfig: conf, TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second,
		DisableCompression: true,
	}
	return out, nil
}

// dialService connects to any ready endpoint of the Service at an address: Services' own addresses are rules of nodes, and there
// need be none where the API server is.
func (c *clients) dialService(ctx context.Context, network string, a address) (net.Conn, error) {
	svc, err := client.Get[*corev1.Service](ctx, c.cfg.Door, client.Services, a.namespace, a.name)
	if apierrors.IsNotFound(err) {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "service"}, a.name)
	}
	if err != nil {
		return nil, err
	}
	port := strconv.Itoa(int(a.port))
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return c.cfg.Egress.DialContext(ctx, network, net.JoinHostPort(svc.Spec.ExternalName, port))
	}
	named := -1
	for i := range svc.Spec.Ports {
		if svc.Spec.Ports[i].Port == a.port {
			named = i
			break
		}
	}
	if named < 0 {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %d found for service %q", a.port, a.name))
	}
	to, err := c.endpoints(ctx, a, svc.Spec.Ports[named].Name)
	if err != nil {
		return nil, err
	}
	rand.Shuffle(len(to), func(i, j int) { to[i], to[j] = to[j], to[i] })
	err = apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", a.name))
	for _, at := range to[:min(len(to), tries)] {
		var conn net.Conn
		if conn, err = c.cfg.Egress.DialContext(ctx, network, at); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// tries is how many endpoints are tried for one connection.
const tries = 3

// endpoints are the addresses of what is ready behind a port of a Service.
func (c *clients) endpoints(ctx context.Context, a address, port string) ([]string, error) {
	slices, err := client.ListAll[*discoveryv1.EndpointSlice](ctx, c.cfg.Door, client.EndpointSlices, a.namespace,
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + a.name})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range slices {
		for _, p := range s.Ports {
			if p.Port == nil || p.Name == nil && port != "" || p.Name != nil && *p.Name != port {
				continue
			}
			for _, e := range s.Endpoints {
				if len(e.Addresses) > 0 && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
					out = append(out, net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(*p.Port))))
				}
			}
		}
	}
	return out, nil
}
