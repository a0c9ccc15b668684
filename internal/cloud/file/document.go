package file

import (
	"fmt"
	"net/netip"
	"os"
	"slices"

	"sampan.dev/internal/cloud"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// document is the file.
type document struct {
	Machines  []machine  `json:"machines"` // nil: nothing is known of machines
	Balancers *balancing `json:"balancers"`
	Routes    *routing   `json:"routes"`
}

type machine struct {
	Name         string               `json:"name"`       // the node's
	ProviderID   string               `json:"providerID"` // "" means file://NAME
	InstanceType string               `json:"instanceType"`
	Zone         string               `json:"zone"`
	Region       string               `json:"region"`
	Addresses    []corev1.NodeAddress `json:"addresses"`
	Labels       map[string]string    `json:"labels"`
	Shutdown     bool                 `json:"shutdown"`
}

type balancing struct {
	Addresses []string                   `json:"addresses"` // "FIRST-LAST", "ADDRESS/BITS" or one address
	IPMode    *corev1.LoadBalancerIPMode `json:"ipMode"`    // nil means VIP

	ranges cloud.Ranges
}

type routing struct {
	Limit *int `json:"limit"` // of routes; nil: any number
}

// read reads the file and checks all of it.
func read(path string) (*document, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var d document
	if err := yaml.UnmarshalStrict(data, &d); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := d.complete(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &d, nil
}

func (d *document) complete() error {
	names, ids := map[string]bool{}, map[string]bool{}
	for i := range d.Machines {
		m := &d.Machines[i]
		if m.Name == "" {
			return fmt.Errorf("machines[%d].name: Required value", i)
		}
		if m.ProviderID == "" {
			m.ProviderID = "file://" + m.Name
		}
		if names[m.Name] || ids[m.ProviderID] {
			return fmt.Errorf("machines[%d]: Duplicate value: %q", i, m.Name)
		}
		names[m.Name], ids[m.ProviderID] = true, true
		for j, a := range m.Addresses {
			if err := checkAddress(a); err != nil {
				return fmt.Errorf("machines[%d].addresses[%d]: %w", i, j, err)
			}
		}
	}
	if d.Balancers == nil {
		return nil
	}
	if mode := d.Balancers.IPMode; mode != nil && *mode != corev1.LoadBalancerIPModeVIP && *mode != corev1.LoadBalancerIPModeProxy {
		return fmt.Errorf("balancers.ipMode: Unsupported value: %q: supported values: \"Proxy\", \"VIP\"", *mode)
	}
	for i, s := range d.Balancers.Addresses {
		r, err := cloud.ParseRange(s)
		if err != nil {
			return fmt.Errorf("balancers.addresses[%d]: Invalid value: %q: %w", i, s, err)
		}
		d.Balancers.ranges = append(d.Balancers.ranges, r)
	}
	return nil
}

func checkAddress(a corev1.NodeAddress) error {
	switch a.Type {
	case corev1.NodeInternalIP, corev1.NodeExternalIP:
		_, err := netip.ParseAddr(a.Address)
		return err
	case corev1.NodeHostName, corev1.NodeInternalDNS, corev1.NodeExternalDNS:
		return nil
	}
	return fmt.Errorf("type: Unsupported value: %q: supported values: \"ExternalDNS\", \"ExternalIP\", \"Hostname\", \"InternalDNS\", \"InternalIP\"", a.Type)
}

// machineOf finds the machine of a node: by its provider ID, or by its name while it has none.
func (d *document) machineOf(n *corev1.Node) *machine {
	i := slices.IndexFunc(d.Machines, func(m machine) bool {
		if n.Spec.ProviderID != "" {
			return m.ProviderID == n.Spec.ProviderID
		}
		return m.Name == n.Name
	})
	if i < 0 {
		return nil
	}
	return &d.Machines[i]
}
