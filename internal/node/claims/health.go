package claims

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	drahealthv1 "k8s.io/kubelet/pkg/apis/dra-health/v1"
	drahealthv1alpha1 "k8s.io/kubelet/pkg/apis/dra-health/v1alpha1"
)

const (
	healthLife  = 30 * time.Second // of what a driver has told of a device, where it does not say
	healthPause = 5 * time.Second  // before a stream that broke is opened again
)

// deviceName names a device on the node.
type deviceName struct{ driver, pool, device string }

// condition is how a device is, until when that holds.
type condition struct {
	health  corev1.ResourceHealthStatus
	message string
	until   time.Time
}

// health is what drivers have told of their devices.
type health struct {
	mu struct {
		sync.Mutex
		of map[deviceName]condition
	}
}

func (h *health) get(d deviceName, now time.Time) condition {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, ok := h.mu.of[d]
	if !ok || now.After(c.until) {
		return condition{health: corev1.ResourceHealthStatusUnknown}
	}
	return c
}

// told takes what a driver says of all its devices, and returns those that are otherwise than before.
func (h *health) told(driver string, list []*drahealthv1.DeviceHealth, now time.Time) map[deviceName]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.of == nil {
		h.mu.of = map[deviceName]condition{}
	}
	changed, said := map[deviceName]bool{}, map[deviceName]bool{}
	for _, d := range list {
		name := deviceName{driver, d.GetDevice().GetPoolName(), d.GetDevice().GetDeviceName()}
		life := healthLife
		if s := d.GetHealthCheckTimeoutSeconds(); s > 0 {
			life = time.Duration(s) * time.Second
		}
		c := condition{health: corev1.ResourceHealthStatusUnknown, message: shortened(d.GetMessage()), until: now.Add(life)}
		switch d.GetHealth() {
		case drahealthv1.HealthStatus_HEALTHY:
			c.health = corev1.ResourceHealthStatusHealthy
		case drahealthv1.HealthStatus_UNHEALTHY:
			c.health = corev1.ResourceHealthStatusUnhealthy
		}
		old := h.mu.of[name]
		if old.health != c.health || old.message != c.message || now.After(old.until) {
			changed[name] = true
		}
		h.mu.of[name], said[name] = c, true
	}
	for name, c := range h.mu.of { // of what is told no more nothing is known
		if name.driver == driver && !said[name] && now.After(c.until) {
			delete(h.mu.of, name)
			changed[name] = true
		}
	}
	return changed
}

// drop forgets what a driver has told, and returns of which devices.
func (h *health) drop(driver string) map[deviceName]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed := map[deviceName]bool{}
	for name := range h.mu.of {
		if name.driver == driver {
			delete(h.mu.of, name)
			changed[name] = true
		}
	}
	return changed
}

func shortened(message string) string {
	if len(message) <= corev1.ResourceHealthMessageMaxLength {
		return message
	}
	return message[:corev1.ResourceHealthMessageMaxLength-3] + "..."
}

// watchHealth follows what a driver tells of its devices until it is unregistered, or says that it does not know how.
func (m *Manager) watchHealth(ctx context.Context, d *driver) {
	for {
		err := m.streamHealth(ctx, d)
		m.wakeUsers(m.health.drop(d.name))
		if status.Code(err) == codes.Unimplemented {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(healthPause):
		}
	}
}

func (m *Manager) streamHealth(ctx context.Context, d *driver) error {
	var stream drahealthv1.DRAResourceHealth_NodeWatchResourcesClient
	var err error
	if d.health == drahealthv1alpha1.DRAResourceHealthService {
		stream, err = drahealthv1.V1Alpha1ClientWrapper{Client: drahealthv1alpha1.NewDRAResourceHealthClient(d.conn)}.NodeWatchResources(ctx, &drahealthv1.NodeWatchResourcesRequest{})
	} else {
		stream, err = drahealthv1.NewDRAResourceHealthClient(d.conn).NodeWatchResources(ctx, &drahealthv1.NodeWatchResourcesRequest{})
	}
	if err != nil {
		return err
	}
	for {
		said, err := stream.Recv()
		if err != nil {
			return err
		}
		m.wakeUsers(m.health.told(d.name, said.GetDevices(), time.Now()))
	}
}

// wakeUsers has the pods look again that have one of some devices.
func (m *Manager) wakeUsers(changed map[deviceName]bool) {
	if len(changed) == 0 {
		return
	}
	uids := map[string]bool{}
	m.mu.Lock()
	for _, c := range m.mu.claims {
		for driver, s := range c.DriverState {
			for _, d := range s.Devices {
				if changed[deviceName{driver, d.PoolName, d.DeviceName}] {
					for uid := range c.PodUIDs {
						uids[uid] = true
					}
				}
			}
		}
	}
	m.mu.Unlock()
	for uid := range uids {
		m.cfg.Wake(types.UID(uid))
	}
}

// Status is how the devices are that a container has by its claims.
func (m *Manager) Status(pod *corev1.Pod, container string) (out []corev1.ResourceStatus) {
	i := slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == container })
	if i < 0 {
		return nil
	}
	now := time.Now()
	for _, named := range pod.Spec.Containers[i].Resources.Claims {
		j := slices.IndexFunc(pod.Spec.ResourceClaims, func(c corev1.PodResourceClaim) bool { return c.Name == named.Name })
		if j < 0 {
			continue
		}
		name, _, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[j])
		if err != nil || name == nil {
			continue
		}
		s := corev1.ResourceStatus{Name: corev1.ResourceName("claim:" + named.Name)}
		request := ""
		if named.Request != "" {
			s.Name += corev1.ResourceName("/" + named.Request)
			request = resourceclaim.BaseRequestRef(named.Request)
		}
		if s.Resources = m.healthOf(key(pod.Namespace, *name), request, now); len(s.Resources) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// healthOf is how the devices are that a claim has for a request.
func (m *Manager) healthOf(claim, request string, now time.Time) (out []corev1.ResourceHealth) {
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.mu.claims[claim]
	if have == nil {
		return nil
	}
	seen := map[corev1.ResourceID]bool{}
	for _, driver := range slices.Sorted(maps.Keys(have.DriverState)) {
		for _, d := range have.DriverState[driver].Devices {
			if !d.serves(request) {
				continue
			}
			id := corev1.ResourceID(fmt.Sprintf("%s/%s/%s", driver, d.PoolName, d.DeviceName))
			if len(d.CDIDeviceIDs) > 0 {
				id = corev1.ResourceID(d.CDIDeviceIDs[0])
			}
			if seen[id] {
				continue
			}
			seen[id] = true
			c := m.health.get(deviceName{driver, d.PoolName, d.DeviceName}, now)
			one := corev1.ResourceHealth{ResourceID: id, Health: c.health}
			if c.message != "" {
				one.Message = &c.message
			}
			out = append(out, one)
		}
	}
	return out
}
