package claims

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/node/plugins"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	drahealthv1 "k8s.io/kubelet/pkg/apis/dra-health/v1"
	drahealthv1alpha1 "k8s.io/kubelet/pkg/apis/dra-health/v1alpha1"
	drav1 "k8s.io/kubelet/pkg/apis/dra/v1"
	drav1beta1 "k8s.io/kubelet/pkg/apis/dra/v1beta1"
)

const (
	callLimit = 45 * time.Second // for a driver to answer
	wipeAfter = 30 * time.Second // that a driver has been away
)

// Services of drivers that the kubelet calls, the newest first.
var (
	services       = []string{drav1.DRAPluginService, drav1beta1.DRAPluginService}
	healthServices = []string{drahealthv1.DRAResourceHealthService, drahealthv1alpha1.DRAResourceHealthService}
)

// driver is one registered instance of a driver. connected is guarded by the manager's mu.
type driver struct {
	name, endpoint  string
	service, health string // which it is called by; health is "" if it does not tell
	conn            *grpc.ClientConn
	connected       bool
	end             context.CancelFunc
}

// plugin is the service by which the driver is called.
func (d *driver) plugin() drav1.DRAPluginClient {
	if d.service == drav1beta1.DRAPluginService {
		return drav1beta1.V1Beta1ClientWrapper{DRAPluginClient: drav1beta1.NewDRAPluginClient(d.conn)}
	}
	return drav1.NewDRAPluginClient(d.conn)
}

func (d *driver) prepare(ctx context.Context, q *drav1.NodePrepareResourcesRequest) (*drav1.NodePrepareResourcesResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return d.plugin().NodePrepareResources(ctx, q)
}

func (d *driver) unprepare(ctx context.Context, q *drav1.NodeUnprepareResourcesRequest) (*drav1.NodeUnprepareResourcesResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return d.plugin().NodeUnprepareResources(ctx, q)
}

// driver returns the instance of a driver that came last, of those that answer if any does.
func (m *Manager) driver(name string) (*driver, error) {
	if name == "" {
		return nil, errors.New("DRA driver name is empty")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.mu.drivers[name]
	if len(list) == 0 {
		return nil, fmt.Errorf("DRA driver %s is not registered", name)
	}
	for _, d := range slices.Backward(list) {
		if d.connected {
			return d, nil
		}
	}
	return list[len(list)-1], nil
}

// choose returns the first of a driver's services that the kubelet calls, too.
func choose(name, endpoint string, offered []string) (string, error) {
	err := errors.New("empty list of supported gRPC services (aka supported versions)")
	for _, s := range offered {
		if slices.Contains(services, s) {
			return s, nil
		}
	}
	if len(offered) > 0 {
		err = fmt.Errorf("none of services supported by the plugin (%q) are supported by the kubelet (%q)", offered, services)
	}
	return "", fmt.Errorf("invalid supported gRPC versions of DRA driver plugin %s at endpoint %s: %w", name, endpoint, err)
}

// Validate implements plugins.Handler.
func (m *Manager) Validate(name, endpoint string, versions []string) error {
	_, err := choose(name, endpoint, versions)
	return err
}

// Register implements plugins.Handler.
func (m *Manager) Register(_ context.Context, name, endpoint string, versions []string) error {
	service, err := choose(name, endpoint, versions)
	if err != nil {
		return err
	}
	d := &driver{name: name, endpoint: endpoint, service: service}
	for _, s := range healthServices {
		if slices.Contains(versions, s) {
			d.health = s
			break
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.mu.drivers[name], func(o *driver) bool { return o.endpoint == endpoint }) {
		return fmt.Errorf("endpoint %s already registered for DRA driver plugin %s", endpoint, name)
	}
	if d.conn, err = plugins.Dial(endpoint); err != nil {
		return fmt.Errorf("create gRPC connection to DRA driver %s plugin at endpoint %s: %w", name, endpoint, err)
	}
	var ctx context.Context
	ctx, d.end = context.WithCancel(m.ctx)
	m.mu.drivers[name] = append(m.mu.drivers[name], d)
	m.wait.Go(func() { m.follow(ctx, d) })
	if d.health != "" {
		m.wait.Go(func() { m.watchHealth(ctx, d) })
	}
	m.lookLocked(name)
	return nil
}

// Unregister implements plugins.Handler.
func (m *Manager) Unregister(_ context.Context, name, endpoint string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.drivers[name] = slices.DeleteFunc(m.mu.drivers[name], func(d *driver) bool {
		if d.endpoint == endpoint {
			d.end()
		}
		return d.endpoint == endpoint
	})
	if len(m.mu.drivers[name]) == 0 {
		delete(m.mu.drivers, name)
	}
	m.lookLocked(name)
}

// follow notes whether a driver can be reached, until it is unregistered, and keeps its connection up.
func (m *Manager) follow(ctx context.Context, d *driver) {
	defer d.conn.Close()
	for {
		state := d.conn.GetState()
		if state == connectivity.Idle {
			d.conn.Connect()
		}
		m.mu.Lock()
		if is := state == connectivity.Ready; is != d.connected {
			d.connected = is
			m.lookLocked(d.name)
		}
		m.mu.Unlock()
		if !d.conn.WaitForStateChange(ctx, state) {
			return
		}
	}
}

// lookLocked has a driver's slices deleted some time after its last instance has gone, unless one comes back until then.
func (m *Manager) lookLocked(name string) {
	up := slices.ContainsFunc(m.mu.drivers[name], func(d *driver) bool { return d.connected })
	t := m.mu.wipes[name]
	switch {
	case up && t != nil:
		t.Stop()
		delete(m.mu.wipes, name)
	case !up && t == nil && m.ctx.Err() == nil:
		m.mu.wipes[name] = time.AfterFunc(wipeAfter, func() { m.wipe(m.ctx, name) })
	}
}

// wipe deletes the slices of this node that a driver has published; "" is all drivers. It tries until that is done or ctx ends.
func (m *Manager) wipe(ctx context.Context, name string) {
	which := fields.Set{resourcev1.ResourceSliceSelectorNodeName: m.cfg.Node}
	if name != "" {
		which[resourcev1.ResourceSliceSelectorDriver] = name
	}
	for pause := time.Second; ; pause = min(2*pause, 5*time.Minute) {
		err := m.cfg.Hub.DeleteCollection(ctx, client.Ref{Resource: client.ResourceSlices}, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: which.String()})
		if err == nil || apierrors.IsNotFound(err) || ctx.Err() != nil {
			return
		}
		m.cfg.Log.Info("slices of a driver that is gone not deleted, trying again", "driver", name, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause + rand.N(pause/5)):
		}
		if name != "" {
			if d, err := m.driver(name); err == nil && m.reaches(d) {
				return // it is back
			}
		}
	}
}

func (m *Manager) reaches(d *driver) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return d.connected
}
