package cloud

import (
	"net/netip"
	"time"

	"sampan.dev/internal/cloud"
)

// Config of the loops. Zero values are upstream's defaults.
type Config struct {
	Provider    *cloud.Provider // nil: no loop runs
	ClusterName string          // "" means kubernetes

	ClusterCIDRs []netip.Prefix // ranges whose routes are the route loop's

	Changes *Changes // of the provider; the manager's

	NodeMonitor time.Duration // between two looks for machines that are gone or shut down; 0 means 5 s
	NodeStatus  time.Duration // between two looks for addresses that changed; 0 means 5 min
	RouteResync time.Duration // between two looks at the cloud's routes; 0 means 10 s

}

func (c *Config) clusterName() string {
	if c.ClusterName == "" {
		return "kubernetes"
	}
	return c.ClusterName
}

func or(d, usual time.Duration) time.Duration {
	if d == 0 {
		return usual
	}
	return d
}
