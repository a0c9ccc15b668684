package claims

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	drav1 "k8s.io/kubelet/pkg/apis/dra/v1"
)

// Prepare has the drivers get the devices ready that a pod's claims have. It may be called again after an error, and is for a pod that
// has claims only.
func (m *Manager) Prepare(ctx context.Context, pod *corev1.Pod) error {
	if err := m.prepare(ctx, pod); err != nil {
		return fmt.Errorf("prepare dynamic resources: %w", err)
	}
	return nil
}

func (m *Manager) prepare(ctx context.Context, pod *corev1.Pod) error {
	var fresh []*claim
	by := map[string]*driver{}
	all := podClaims(pod)
	for i := range all {
		k, err := m.read(ctx, pod, &all[i])
		if err != nil {
			return err
		}
		if k == nil {
			continue // there is none to be
		}
		c, err := claimOf(k)
		if err != nil {
			return fmt.Errorf("ResourceClaim %s: %w", k.Name, err)
		}
		for name := range c.DriverState {
			if by[name], err = m.driver(name); err != nil {
				return err
			}
		}
		fresh = append(fresh, c)
	}
	open, err := m.use(pod.UID, fresh)
	if err != nil {
		return err
	}
	for name, batch := range batches(open) {
		answer, err := by[name].prepare(ctx, &drav1.NodePrepareResourcesRequest{Claims: batch})
		if err != nil {
			return fmt.Errorf("NodePrepareResources: %w", err)
		}
		if err := m.took(name, batch, answer); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range open {
		if have := m.mu.claims[key(c.Namespace, c.ClaimName)]; have != nil && have.ClaimUID == c.ClaimUID {
			have.prepared = true
		}
	}
	if err := save(m.path, m.mu.claims); err != nil {
		return fmt.Errorf("checkpoint ResourceClaim state: %w", err)
	}
	return nil
}

// use notes that a pod has claims, and returns those that are still to be prepared. The note stands in the checkpoint before a driver is
// asked, so that what it does is taken back whatever happens.
func (m *Manager) use(pod types.UID, list []*claim) (open []*claim, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range list {
		at := key(c.Namespace, c.ClaimName)
		have, known := m.mu.claims[at]
		switch {
		case !known:
			have, m.mu.claims[at] = c, c
		case have.ClaimUID != c.ClaimUID:
			return nil, fmt.Errorf("old ResourceClaim with same name %s and different UID %s still exists (previous pod force-deleted?!)", c.ClaimName, have.ClaimUID)
		case have.unpreparing:
			return nil, fmt.Errorf("ResourceClaim %s is being unprepared", c.ClaimName)
		}
		have.PodUIDs.Insert(string(pod))
		if !have.prepared {
			open = append(open, c)
		}
	}
	if err := save(m.path, m.mu.claims); err != nil {
		return nil, fmt.Errorf("checkpoint ResourceClaim cache: %w", err)
	}
	return open, nil
}

// batches are what each driver is asked about.
func batches(list []*claim) map[string][]*drav1.Claim {
	out := map[string][]*drav1.Claim{}
	for _, c := range list {
		for name := range c.DriverState {
			out[name] = append(out[name], &drav1.Claim{Namespace: c.Namespace, Uid: string(c.ClaimUID), Name: c.ClaimName})
		}
	}
	return out
}

// took notes which devices a driver has prepared for the claims of a batch.
func (m *Manager) took(driver string, batch []*drav1.Claim, answer *drav1.NodePrepareResourcesResponse) error {
	return answered("NodePrepareResources", batch, answer.Claims, func(asked *drav1.Claim, result *drav1.NodePrepareResourceResponse) error {
		var list []device
		for _, d := range result.GetDevices() {
			list = append(list, device{PoolName: d.PoolName, DeviceName: d.DeviceName, ShareID: (*types.UID)(d.ShareId), RequestNames: d.RequestNames, CDIDeviceIDs: d.CdiDeviceIds})
		}
		m.mu.Lock()
		have := m.mu.claims[key(asked.Namespace, asked.Name)]
		if have != nil {
			have.DriverState[driver] = driverState{Devices: list}
		}
		m.mu.Unlock()
		if have == nil {
			return fmt.Errorf("internal error: unable to get claim info for ResourceClaim %s in namespace %s", asked.Name, asked.Namespace)
		}
		return nil
	})
}

// answered takes a driver's answers about the claims of a batch; each must be about one that was asked for, and none may lack.
func answered[R interface{ GetError() string }](call string, batch []*drav1.Claim, answers map[string]R, take func(asked *drav1.Claim, result R) error) error {
	for uid, result := range answers {
		asked := find(batch, uid)
		if asked == nil {
			return fmt.Errorf("%s returned result for unknown claim UID %s", call, uid)
		}
		if text := result.GetError(); text != "" {
			return fmt.Errorf("%s failed for ResourceClaim %s: %s", call, asked.Name, text)
		}
		if err := take(asked, result); err != nil {
			return err
		}
	}
	if left := len(batch) - len(answers); left != 0 {
		return fmt.Errorf("%s skipped %d ResourceClaims", call, left)
	}
	return nil
}

func find(batch []*drav1.Claim, uid string) *drav1.Claim {
	for _, c := range batch {
		if c.Uid == uid {
			return c
		}
	}
	return nil
}

// Unprepare has the drivers take back what a pod has, unless others have it too. It may be called again after an error, and for a pod
// that has nothing.
func (m *Manager) Unprepare(ctx context.Context, pod types.UID) error {
	if err := m.unprepare(ctx, pod); err != nil {
		return fmt.Errorf("unprepare dynamic resources: %w", err)
	}
	return nil
}

func (m *Manager) unprepare(ctx context.Context, pod types.UID) error {
	var last []*claim
	m.mu.Lock()
	shared := false
	for _, c := range m.mu.claims {
		switch {
		case !c.PodUIDs.Has(string(pod)):
		case len(c.PodUIDs) > 1:
			c.PodUIDs.Delete(string(pod))
			shared = true
		default:
			c.unpreparing = true
			last = append(last, c)
		}
	}
	m.mu.Unlock()
	if len(last) == 0 && !shared {
		return nil
	}
	for name, batch := range batches(last) {
		d, err := m.driver(name)
		if err != nil {
			return err
		}
		answer, err := d.unprepare(ctx, &drav1.NodeUnprepareResourcesRequest{Claims: batch})
		if err != nil {
			return fmt.Errorf("NodeUnprepareResources: %w", err)
		}
		nothing := func(*drav1.Claim, *drav1.NodeUnprepareResourceResponse) error { return nil }
		if err := answered("NodeUnprepareResources", batch, answer.Claims, nothing); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range last {
		delete(m.mu.claims, key(c.Namespace, c.ClaimName))
	}
	if err := save(m.path, m.mu.claims); err != nil {
		return fmt.Errorf("checkpoint ResourceClaim state: %w", err)
	}
	return nil
}
