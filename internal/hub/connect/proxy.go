package connect

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/egress"
	"sampan.dev/internal/hub/verb"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// forward sends the request to loc and the answer back, upgraded connections included.
func (c *Connector) forward(w http.ResponseWriter, r *http.Request, loc *url.URL, rt http.RoundTripper) {
	p := &httputil.ReverseProxy{
		Transport:     rt,
		FlushInterval: -1, // streams are passed on as they come
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL = loc
			pr.Out.Host = loc.Host
			pr.SetXForwarded()
			pr.Out.Header.Set("X-Forwarded-Uri", pr.In.URL.Path)
			// The caller's credential is for us alone.
			pr.Out.Header.Del("Authorization")
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if errors.Is(err, egress.ErrNotAllowed) { // a name that meant another address by then
				writeStatus(w, apierrors.NewBadRequest(egress.ErrNotAllowed.Error()))
				return
			}
			c.cfg.Log.Debug("proxy", "to", loc.Host, "error", err)
			writeStatus(w, apierrors.NewServiceUnavailable(fmt.Sprintf("error trying to reach service: %v", err)))
		},
	}
	p.ServeHTTP(w, r)
}

// proxied is forward for the proxy subresources: paths are under prefix, and what the backend says of its own paths is
// rewritten to where the client finds them.
func (c *Connector) proxied(w http.ResponseWriter, r *http.Request, loc *url.URL, path string, rt http.RoundTripper) error {
	if path == "" && !strings.HasSuffix(r.URL.Path, "/") && r.Header.Get("Upgrade") == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		// Relative links of the page would lose the last part of the path otherwise.
		target := *r.URL
		target.Path += "/"
		w.Header().Set("Location", target.String())
		w.WriteHeader(http.StatusMovedPermanently)
		return nil
	}
	if path == "" {
		path = "/"
	}
	prefix := strings.TrimSuffix(r.URL.Path, path)
	loc.Path, loc.RawQuery = path, r.URL.RawQuery
	c.forward(w, r, loc, &rewriting{next: rt, prefix: prefix, host: loc.Host})
	return nil
}

func (c *Connector) proxyPod(w http.ResponseWriter, r *http.Request, req *verb.Request, path string) error {
	scheme, name, port, ok := utilnet.SplitSchemeNamePort(req.Ref.Name)
	if !ok {
		return apierrors.NewBadRequest(fmt.Sprintf("invalid pod request %q", req.Ref.Name))
	}
	pod, err := client.Get[*corev1.Pod](r.Context(), c.cfg.Door(), client.Pods, req.Ref.Namespace, name)
	if err != nil {
		return err
	}
	for i := 0; port == "" && i < len(pod.Spec.Containers); i++ {
		if ports := pod.Spec.Containers[i].Ports; len(ports) > 0 {
			port = strconv.Itoa(int(ports[0].ContainerPort))
		}
	}
	if _, err := netip.ParseAddr(pod.Status.PodIP); err != nil {
		return apierrors.NewBadRequest(egress.ErrNotAllowed.Error())
	}
	return c.other(w, r, scheme, pod.Status.PodIP, port, path)
}

func (c *Connector) proxyNode(w http.ResponseWriter, r *http.Request, req *verb.Request, path string) error {
	scheme, name, port, ok := utilnet.SplitSchemeNamePort(req.Ref.Name)
	if !ok {
		return apierrors.NewBadRequest(fmt.Sprintf("invalid node request %q", req.Ref.Name))
	}
	n, err := client.Get[*corev1.Node](r.Context(), c.cfg.Door(), client.Nodes, "", name)
	if err != nil {
		return err
	}
	host, err := address(n)
	if err != nil {
		return err
	}
	if port != "" && port != strconv.Itoa(int(kubeletPort(n))) {
		return c.other(w, r, scheme, host, port, path)
	}
	kubelet, err := c.kubelet(r.Context(), name)
	if err != nil {
		return err
	}
	return c.proxied(w, r, &url.URL{Scheme: "https", Host: kubelet}, path, c.kubelets)
}

// other proxies to what is not a kubelet. Its address is looked at before anything is answered.
func (c *Connector) other(w http.ResponseWriter, r *http.Request, scheme, host, port, path string) error {
	scheme = orHTTP(scheme)
	dialled := port
	if dialled == "" {
		dialled = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	if err := c.cfg.Egress.Refused(net.JoinHostPort(host, dialled)); errors.Is(err, egress.ErrNotAllowed) {
		return c.refused(net.JoinHostPort(host, dialled), err)
	}
	return c.proxied(w, r, &url.URL{Scheme: scheme, Host: hostPort(host, port)}, path, c.others)
}

func (c *Connector) proxyService(w http.ResponseWriter, r *http.Request, req *verb.Request, path string) error {
	scheme, name, port, ok := utilnet.SplitSchemeNamePort(req.Ref.Name)
	if !ok {
		return apierrors.NewBadRequest(fmt.Sprintf("invalid service request %q", req.Ref.Name))
	}
	to, err := c.endpoint(r.Context(), req.Ref.Namespace, name, port)
	if err != nil {
		return err
	}
	host, number, err := net.SplitHostPort(to)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	return c.other(w, r, scheme, host, number, path)
}

// endpoint picks a ready endpoint of a service that is a pod, any one. port is the name or the number of a service port; ""
// is the one without a name.
func (c *Connector) endpoint(ctx context.Context, namespace, name, port string) (string, error) {
	door := c.cfg.Door()
	svc, err := client.Get[*corev1.Service](ctx, door, client.Services, namespace, name)
	if apierrors.IsNotFound(err) {
		return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", name))
	}
	if err != nil {
		return "", err
	}
	if number, err := strconv.ParseInt(port, 10, 32); err == nil {
		found := false
		for _, p := range svc.Spec.Ports {
			if int64(p.Port) == number {
				port, found = p.Name, true
				break
			}
		}
		if !found {
			return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %d found for service %q", number, name))
		}
	}
	all, err := client.ListAll[*discoveryv1.EndpointSlice](ctx, door, client.EndpointSlices, namespace,
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name})
	if err != nil {
		return "", err
	}
	var hosts []string
	for _, s := range all {
		for _, p := range s.Ports {
			if p.Port == nil || (p.Name == nil && port != "") || (p.Name != nil && *p.Name != port) {
				continue
			}
			for _, e := range s.Endpoints {
				if (e.Conditions.Ready == nil || *e.Conditions.Ready) && c.isPod(ctx, namespace, &e) {
					hosts = append(hosts, hostPort(e.Addresses[0], strconv.Itoa(int(*p.Port))))
				}
			}
		}
	}
	if len(hosts) == 0 {
		return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", name))
	}
	return hosts[rand.IntN(len(hosts))], nil
}

// isPod makes sure that an endpoint is what it says, the address of a pod of the namespace: whoever may write slices could
// otherwise have the hub reach anything.
func (c *Connector) isPod(ctx context.Context, namespace string, e *discoveryv1.Endpoint) bool {
	if e.TargetRef == nil || e.TargetRef.Namespace != namespace || len(e.Addresses) == 0 {
		return false
	}
	pod, err := client.Get[*corev1.Pod](ctx, c.cfg.Door(), client.Pods, namespace, e.TargetRef.Name)
	return err == nil && (pod.Status.PodIP == e.Addresses[0] ||
		slices.ContainsFunc(pod.Status.PodIPs, func(ip corev1.PodIP) bool { return ip.IP == e.Addresses[0] }))
}

func orHTTP(scheme string) string {
	if scheme == "" {
		return "http"
	}
	return scheme
}

func hostPort(host, port string) string {
	if port != "" {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
