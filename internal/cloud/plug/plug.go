package plug

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"sampan.dev/internal/cloud"
	"sampan.dev/internal/cloud/plug/cloudv1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"sigs.k8s.io/yaml"
)

// Name of the provider.
const Name = "grpc"

// patience is how long the program is waited for at the start.
const patience = 10 * time.Second

// config is the provider's file.
type config struct {
	Endpoint string `json:"endpoint"` // unix:///PATH, or HOST:PORT
	CAFile   string `json:"caFile"`   // whose certificates are believed; needed where the endpoint is on another machine
	CertFile string `json:"certFile"` // shown to the program; may be empty
	KeyFile  string `json:"keyFile"`
}

// New reads the file and asks the program what it offers.
func New(path, cluster string) (*cloud.Provider, error) {
	if path == "" {
		return nil, errors.New("a cloud configuration file is needed")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var c config
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	creds, err := c.credentials()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	conn, err := grpc.NewClient(c.Endpoint, grpc.WithTransportCredentials(creds), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		return nil, fmt.Errorf("%s: endpoint: %w", path, err)
	}
	p, err := describe(conn, cluster)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%s: %w", c.Endpoint, err)
	}
	return p, nil
}

func describe(conn grpc.ClientConnInterface, cluster string) (*cloud.Provider, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := &sky{cloudv1.NewCloudClient(conn)}
	offers, err := s.Describe(ctx, &cloudv1.DescribeRequest{Cluster: cluster})
	if err != nil {
		return nil, said(err)
	}
	p := &cloud.Provider{Name: offers.Name}
	if offers.Machines {
		p.Instances = s
	}
	if offers.Balancers {
		p.Balancers = balancers{s}
	}
	if offers.Routes {
		p.Routes = routes{s}
	}
	return p, nil
}

// credentials are TLS, or none where nobody else can listen.
func (c *config) credentials() (credentials.TransportCredentials, error) {
	if c.Endpoint == "" {
		return nil, errors.New("endpoint: Required value")
	}
	if c.CAFile == "" {
		if host, _, err := net.SplitHostPort(c.Endpoint); !strings.HasPrefix(c.Endpoint, "unix:") && (err != nil || !net.ParseIP(host).IsLoopback()) {
			return nil, errors.New("caFile: Required value: the endpoint is neither a unix socket nor on the loopback address")
		}
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in it", c.CAFile)
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(conf), nil
}

// said is an error as the program worded it.
func said(err error) error {
	s, ok := status.FromError(err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return err
	case s.Code() == codes.Unimplemented:
		return fmt.Errorf("%s: %w", s.Message(), cloud.ErrNotImplemented)
	}
	return errors.New(s.Message())
}
