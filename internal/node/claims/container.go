package claims

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"
)

// use is what a container has of one of its pod's claims.
type use struct {
	name     string // of the claim
	requests []string
}

// usesOf are the claims that a container names, and the one for extended resources if it has any of that.
func usesOf(pod *corev1.Pod, c *corev1.Container) (out []use, err error) {
	for i := range pod.Spec.ResourceClaims {
		want := &pod.Spec.ResourceClaims[i]
		var requests []string
		for _, named := range c.Resources.Claims {
			if named.Name == want.Name {
				requests = append(requests, named.Request)
			}
		}
		if len(requests) == 0 {
			continue
		}
		name, _, err := resourceclaim.Name(pod, want)
		if err != nil {
			return nil, err
		}
		if name != nil {
			out = append(out, use{*name, requests})
		}
	}
	if s := pod.Status.ExtendedResourceClaimStatus; s != nil {
		var requests []string
		for _, m := range s.RequestMappings {
			if q := c.Resources.Requests[corev1.ResourceName(m.ResourceName)]; m.ContainerName == c.Name && !q.IsZero() {
				requests = append(requests, m.RequestName)
			}
		}
		if len(requests) > 0 {
			out = append(out, use{s.ResourceClaimName, requests})
		}
	}
	return out, nil
}

// Devices are the CDI names of what a container has.
func (m *Manager) Devices(pod *corev1.Pod, c *corev1.Container) (out []*cri.CDIDevice, err error) {
	uses, err := usesOf(pod, c)
	if err != nil || len(uses) == 0 {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range uses {
		have := m.mu.claims[key(pod.Namespace, u.name)]
		if have == nil {
			return nil, fmt.Errorf("internal error: unable to get claim info for ResourceClaim %s in namespace %s", u.name, pod.Namespace)
		}
		for _, request := range u.requests {
			for _, driver := range slices.Sorted(maps.Keys(have.DriverState)) {
				for _, d := range have.DriverState[driver].Devices {
					if !d.serves(request) {
						continue
					}
					for _, id := range d.CDIDeviceIDs {
						out = append(out, &cri.CDIDevice{Name: id})
					}
				}
			}
		}
	}
	return out, nil
}

// Resources are what a container has, for the pod resources API.
func (m *Manager) Resources(pod *corev1.Pod, c *corev1.Container) (out []*podresourcesv1.DynamicResource) {
	uses, err := usesOf(pod, c)
	if err != nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range uses {
		have := m.mu.claims[key(pod.Namespace, u.name)]
		if have == nil {
			continue
		}
		r := &podresourcesv1.DynamicResource{ClaimName: have.ClaimName, ClaimNamespace: have.Namespace}
		for _, driver := range slices.Sorted(maps.Keys(have.DriverState)) {
			for _, d := range have.DriverState[driver].Devices {
				one := &podresourcesv1.ClaimResource{DriverName: driver, PoolName: d.PoolName, DeviceName: d.DeviceName, ShareId: (*string)(d.ShareID)}
				for _, id := range d.CDIDeviceIDs {
					one.CdiDevices = append(one.CdiDevices, &podresourcesv1.CDIDevice{Name: id})
				}
				r.ClaimResources = append(r.ClaimResources, one)
			}
		}
		out = append(out, r)
	}
	return out
}
