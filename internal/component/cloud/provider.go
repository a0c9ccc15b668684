package cloud

import (
	"fmt"

	"sampan.dev/internal/cloud"
	"sampan.dev/internal/cloud/local"

	corev1 "k8s.io/api/core/v1"
)

// None is the provider's name for none at all.
const None = "none"

// providers are those that this program has. A further one is a line here.
var providers = []struct {
	name string
	make func(c *Config) (*cloud.Provider, error)
}{
	{local.Name, func(c *Config) (*cloud.Provider, error) {
		return local.New(local.Config{Reserved: reserved(c.APIPort)}), nil
	}},
}

// open makes the provider that the flags name; nil for none.
func (c *Config) open() (*cloud.Provider, error) {
	if c.Provider == None {
		return nil, nil
	}
	for _, p := range providers {
		if p.name == c.Provider {
			return p.make(c)
		}
	}
	return nil, fmt.Errorf("unknown cloud provider %q", c.Provider)
}

// reserved are the ports of the nodes without which nobody could mend what a service did to them; api is the API server's.
func reserved(api uint16) map[local.Port]string {
	return map[local.Port]string{
		{Protocol: corev1.ProtocolTCP, Number: int32(api)}: "the API server's",
		{Protocol: corev1.ProtocolTCP, Number: 10250}:      "the kubelet's",
		{Protocol: corev1.ProtocolTCP, Number: 22}:         "kept for SSH",
	}
}
