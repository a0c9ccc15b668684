package aggregate

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
	"strconv"

	"sampan.dev/internal/api/apiregistration"
	"sampan.dev/internal/client"
	"sampan.dev/internal/stream"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

func portOf(s *apiregistrationv1.APIService) int32 { return apiregistration.Port(s.Spec.Service) }

// transport makes the connections to the server of an APIService: it shows the front proxy's certificate and, unless the APIService
// says otherwise, believes only a certificate for the Service's name.
func (a *Aggregator) transport(s *apiregistrationv1.APIService) (*http.Transport, error) {
	conf := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: s.Spec.Service.Name + "." + s.Spec.Service.Namespace + ".svc",
		InsecureSkipVerify: s.Spec.InsecureSkipTLSVerify, GetClientCertificate: a.cfg.Identity,
	}
	if len(s.Spec.CABundle) > 0 {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(s.Spec.CABundle) {
			return nil, errors.New("unable to load root certificates: unable to parse bytes as PEM block")
		}
	}
	t := stream.NewTransport(a.cfg.Dial, conf)
	t.MaxIdleConnsPerHost = 32 // a busy server; those that idle are closed after a while
	return t, nil
}

// ask sends a request of the hub's own and returns the answer and the URL that it went to, "" while that is not known.
func (r *remote) ask(ctx context.Context, at *reach, path string, header http.Header) (*http.Response, string, error) {
	if at.err != nil {
		return nil, "", at.err
	}
	host, err := r.endpoint()
	if err != nil {
		return nil, "", err
	}
	to := &url.URL{Scheme: "https", Host: host, Path: path}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return nil, "", err
	}
	req.Header = header
	identify(req.Header, aggregator)
	resp, err := at.transport.RoundTrip(req) // follows no redirect
	if err != nil {
		err = &url.Error{Op: "Get", URL: to.String(), Err: err} // as http.Client has it
	}
	return resp, to.String(), err
}

// endpoint picks where the Service leads: HOST:PORT of any endpoint that is ready. The address of the Service itself is a rule of
// the nodes' and may mean nothing where the hub runs.
func (r *remote) endpoint() (string, error) {
	svc, ok := r.services.Get(r.by.Namespace, r.by.Name)
	if !ok {
		return "", apierrors.NewNotFound(client.Services.GroupResource(), r.by.Name)
	}
	port := apiregistration.Port(&r.by)
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return net.JoinHostPort(svc.Spec.ExternalName, strconv.Itoa(int(port))), nil
	}
	p := servicePort(svc, port)
	if p == nil {
		return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %d found for service %q", port, svc.Name))
	}
	var family corev1.IPFamily
	if len(svc.Spec.IPFamilies) > 0 {
		family = svc.Spec.IPFamilies[0]
	}
	to := anyEndpoint(r.slices.List(r.by.Namespace), p.Name, discoveryv1.AddressType(family))
	if to == "" {
		return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", svc.Name))
	}
	return to, nil
}

// anyEndpoint picks HOST:PORT of a ready endpoint with a port of that name, of the preferred family if there is one; "" for none.
func anyEndpoint(slicesOf []*discoveryv1.EndpointSlice, port string, family discoveryv1.AddressType) string {
	var all, preferred []string
	for _, s := range slicesOf {
		for _, p := range s.Ports {
			if p.Name == nil || *p.Name != port || p.Port == nil {
				continue
			}
			for _, e := range s.Endpoints {
				if !ready(e) || len(e.Addresses) == 0 {
					continue
				}
				to := net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(*p.Port)))
				if all = append(all, to); s.AddressType == family {
					preferred = append(preferred, to)
				}
			}
		}
	}
	if len(preferred) > 0 {
		all = preferred
	}
	if len(all) == 0 {
		return ""
	}
	return all[rand.IntN(len(all))]
}

func servicePort(svc *corev1.Service, port int32) *corev1.ServicePort {
	for i := range svc.Spec.Ports {
		if svc.Spec.Ports[i].Port == port {
			return &svc.Spec.Ports[i]
		}
	}
	return nil
}
