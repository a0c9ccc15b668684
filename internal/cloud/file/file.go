package file

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"sampan.dev/internal/cloud"

	corev1 "k8s.io/api/core/v1"
)

// Name of the provider.
const Name = "file"

// sky is the cloud. It is made by New and lasts as long as the loops.
type sky struct {
	path string
	log  *slog.Logger

	mu struct {
		sync.Mutex
		doc       *document
		routes    []route
		balancers []balancer
	}
}

// New reads the file and what stands beside it.
func New(path string, log *slog.Logger) (*cloud.Provider, error) {
	if path == "" {
		return nil, errors.New("a cloud configuration file is needed")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	s := &sky{path: path, log: log.With("component", "cloud")}
	if s.mu.doc, err = read(path); err != nil {
		return nil, err
	}
	if err := load(s.beside("routes.json"), &s.mu.routes); err != nil {
		return nil, err
	}
	if err := load(s.beside("balancers.json"), &s.mu.balancers); err != nil {
		return nil, err
	}
	return &cloud.Provider{Name: Name, Balancers: s, Instances: s, Routes: routes{s}, Run: s.run}, nil
}

func (s *sky) beside(name string) string { return filepath.Join(filepath.Dir(s.path), name) }

// run follows the file until ctx ends.
func (s *sky) run(ctx context.Context, changed func()) error {
	return watch(ctx, filepath.Dir(s.path), filepath.Base(s.path), func() {
		doc, err := read(s.path)
		if err != nil {
			s.log.Error("cloud stays as it was", "err", err)
			return
		}
		s.mu.Lock()
		s.mu.doc = doc
		s.mu.Unlock()
		s.log.Info("cloud is as its file says", "file", s.path, "machines", len(doc.Machines))
		changed()
	})
}

func (s *sky) document() *document {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.doc
}

// machine returns that of a node. A file that says nothing of machines does not say that there are none.
func (s *sky) machine(n *corev1.Node) (*machine, error) {
	d := s.document()
	if d.Machines == nil {
		return nil, fmt.Errorf("%s declares no machines: %w", s.path, cloud.ErrNotImplemented)
	}
	return d.machineOf(n), nil
}

// InstanceExists implements cloud.InstancesV2.
func (s *sky) InstanceExists(_ context.Context, n *corev1.Node) (bool, error) {
	m, err := s.machine(n)
	return m != nil, err
}

// InstanceShutdown implements cloud.InstancesV2.
func (s *sky) InstanceShutdown(_ context.Context, n *corev1.Node) (bool, error) {
	m, err := s.machine(n)
	return m != nil && m.Shutdown, err
}

// InstanceMetadata implements cloud.InstancesV2.
func (s *sky) InstanceMetadata(_ context.Context, n *corev1.Node) (*cloud.InstanceMetadata, error) {
	m, err := s.machine(n)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, cloud.ErrInstanceNotFound
	}
	return &cloud.InstanceMetadata{ProviderID: m.ProviderID, InstanceType: m.InstanceType, NodeAddresses: m.Addresses,
		Zone: m.Zone, Region: m.Region, AdditionalLabels: m.Labels}, nil
}
