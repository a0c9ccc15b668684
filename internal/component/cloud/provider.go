package cloud

import (
	"fmt"
	"log/slog"
	"strings"

	"sampan.dev/internal/cloud"
	"sampan.dev/internal/cloud/file"
	"sampan.dev/internal/cloud/local"
	"sampan.dev/internal/cloud/plug"

	corev1 "k8s.io/api/core/v1"
)

// None is the provider's name for none at all.
const None = "none"

// providers are those that this program has. A further one is a line here.
var providers = []struct {
	name string
	make func(c *Config, log *slog.Logger) (*cloud.Provider, error)
}{
	{local.Name, func(c *Config, _ *slog.Logger) (*cloud.Provider, error) {
		ranges, err := c.ranges()
		return local.New(local.Config{Reserved: reserved(c.APIPort), Ranges: ranges}), err
	}},
	{plug.Name, func(c *Config, _ *slog.Logger) (*cloud.Provider, error) { return plug.New(c.File, c.ClusterName) }},
	{file.Name, func(c *Config, log *slog.Logger) (*cloud.Provider, error) { return file.New(c.File, log) }},
}

// open makes the provider that the flags name; nil for none.
func (c *Config) open(log *slog.Logger) (*cloud.Provider, error) {
	if c.Provider == None {
		return nil, nil
	}
	for _, p := range providers {
		if p.name == c.Provider {
			out, err := p.make(c, log)
			if err != nil {
				return nil, fmt.Errorf("could not init cloud provider %q: %w", c.Provider, err)
			}
			return out, nil
		}
	}
	return nil, fmt.Errorf("unknown cloud provider %q", c.Provider)
}

// ranges reads the ranges of balancers' addresses; nil for none.
func (c *Config) ranges() (cloud.Ranges, error) {
	var out cloud.Ranges
	for _, s := range c.Ranges {
		r, err := cloud.ParseRange(strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("range %q of balancers: %w", s, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// reserved are the ports of the nodes without which nobody could mend what a service did to them; api is the API server's.
func reserved(api uint16) map[local.Port]string {
	return map[local.Port]string{
		{Protocol: corev1.ProtocolTCP, Number: int32(api)}: "the API server's",
		{Protocol: corev1.ProtocolTCP, Number: 10250}:      "the kubelet's",
		{Protocol: corev1.ProtocolTCP, Number: 22}:         "kept for SSH",
	}
}
