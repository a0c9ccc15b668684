package selector

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// The names of what connections are for.
const (
	Cluster      = "cluster"
	ControlPlane = "controlplane"
	Etcd         = "etcd"
)

// Configuration is upstream's EgressSelectorConfiguration.
type Configuration struct {
	APIVersion       string      `json:"apiVersion"`
	Kind             string      `json:"kind"`
	EgressSelections []Selection `json:"egressSelections"`
}

// Selection is how connections for one purpose are made.
type Selection struct {
	Name       string     `json:"name"`
	Connection Connection `json:"connection"`
}

// Connection says how: ProxyProtocol is GRPC, HTTPConnect or Direct.
type Connection struct {
	ProxyProtocol string     `json:"proxyProtocol,omitempty"`
	Transport     *Transport `json:"transport,omitempty"`
}

// Transport is how the proxy is reached: one of the two.
type Transport struct {
	TCP *TCP `json:"tcp,omitempty"`
	UDS *UDS `json:"uds,omitempty"`
}

// TCP is a proxy at a URL.
type TCP struct {
	URL       string `json:"url,omitempty"`
	TLSConfig *TLS   `json:"tlsConfig,omitempty"`
}

// UDS is a proxy at a unix socket.
type UDS struct {
	UDSName string `json:"udsName"`
}

// TLS names files.
type TLS struct {
	CABundle      string `json:"caBundle,omitempty"`
	ClientKey     string `json:"clientKey,omitempty"`
	ClientCert    string `json:"clientCert,omitempty"`
	TLSServerName string `json:"tlsServerName,omitempty"`
}

// Read reads and checks a file. Its errors are upstream's.
func Read(file string) (*Configuration, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("unable to read egress selector configuration from %q [%w]", file, err)
	}
	return parse(data)
}

func parse(data []byte) (*Configuration, error) {
	data, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, err
	}
	var c Configuration
	strict, err := kjson.UnmarshalStrict(data, &c)
	if err != nil {
		return nil, err
	}
	if c.APIVersion != "apiserver.k8s.io/v1beta1" || c.Kind != "EgressSelectorConfiguration" {
		return nil, fmt.Errorf("no kind %q is registered for version %q: want an EgressSelectorConfiguration of apiserver.k8s.io/v1beta1", c.Kind, c.APIVersion)
	}
	if err := errors.Join(strict...); err != nil {
		return nil, fmt.Errorf("strict decoding error: %w", err)
	}
	if errs := c.validate(); len(errs) > 0 {
		return nil, fmt.Errorf("failed to validate egress selector configuration: %w", errs.ToAggregate())
	}
	return &c, nil
}

// validate is upstream's ValidateEgressSelectorConfiguration.
func (c *Configuration) validate() (errs field.ErrorList) {
	path := field.NewPath("service", "connection")
	for _, s := range c.EgressSelections {
		t := s.Connection.Transport
		switch s.Connection.ProxyProtocol {
		case "Direct":
			if t != nil {
				errs = append(errs, field.Invalid(path.Child("transport"), "direct", "config must be absent for direct connect"))
			}
		case "HTTPConnect":
			errs = append(errs, t.validateConnect(path)...)
		case "GRPC":
			switch {
			case t == nil:
				errs = append(errs, field.Required(path.Child("transport"), "transport must be set for GRPC"))
			case t.UDS == nil:
				errs = append(errs, field.Required(path.Child("uds"), "UDS must be set with GRPC"))
			default:
				errs = append(errs, t.UDS.validate(path)...)
			}
		default:
			errs = append(errs, field.NotSupported(path.Child("protocol"), s.Connection.ProxyProtocol, []string{"Direct", "HTTPConnect", "GRPC"}))
		}
	}
	seen := map[string]bool{}
	for i, s := range c.EgressSelections {
		name := strings.ToLower(s.Name)
		switch {
		case seen[name]:
			errs = append(errs, field.Duplicate(path.Index(i), name))
		case name != Cluster && name != ControlPlane && name != Etcd:
			errs = append(errs, field.NotSupported(path, name, []string{Cluster, ControlPlane, Etcd}))
		}
		seen[name] = true
	}
	return errs
}

func (t *Transport) validateConnect(path *field.Path) field.ErrorList {
	switch {
	case t == nil:
		return field.ErrorList{field.Required(path.Child("transport"), "transport must be set for HTTPConnect")}
	case t.TCP != nil && t.UDS != nil:
		return field.ErrorList{field.Invalid(path.Child("tcp"), t.TCP, "TCP and UDS cannot both be set")}
	case t.TCP != nil:
		return t.TCP.validate(path)
	case t.UDS != nil:
		return t.UDS.validate(path)
	}
	return field.ErrorList{field.Required(path.Child("tcp"), "One of TCP or UDS must be set")}
}

func (u *UDS) validate(path *field.Path) field.ErrorList {
	if u.UDSName == "" {
		return field.ErrorList{field.Invalid(path.Child("udsName"), "nil", "must be present for UDS connections")}
	}
	return nil
}

func (t *TCP) validate(path *field.Path) field.ErrorList {
	switch {
	case strings.HasPrefix(t.URL, "http://"):
		if t.TLSConfig != nil {
			return field.ErrorList{field.Invalid(path.Child("tlsConfig"), "nil", "config must not be present when using HTTP")}
		}
		return nil
	case !strings.HasPrefix(t.URL, "https://"):
		return field.ErrorList{field.Invalid(path.Child("url"), t.URL, "supported connection protocols are http:// and https://")}
	case t.TLSConfig == nil:
		return field.ErrorList{field.Required(path.Child("tlsConfig"), "TLSConfig must be present when using HTTPS")}
	}
	return t.TLSConfig.validate(path.Child("tlsConfig"))
}

func (t *TLS) validate(path *field.Path) (errs field.ErrorList) {
	for _, f := range []struct{ name, file, missing, absent string }{
		{"caBundle", t.CABundle, "", "TLS config ca bundle does not exist"},
		{"clientCert", t.ClientCert, "Using TLS requires clientCert", "TLS client cert does not exist"},
		{"clientKey", t.ClientKey, "Using TLS requires requires clientKey", "TLS client key does not exist"},
	} {
		if f.file == "" && f.missing != "" {
			errs = append(errs, field.Invalid(path.Child(f.name), "nil", f.missing))
		}
		if _, err := os.Stat(f.file); f.file != "" && err != nil {
			errs = append(errs, field.Invalid(path.Child(f.name), f.file, f.absent))
		}
	}
	return errs
}
