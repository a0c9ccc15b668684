package suite

import (
	"fmt"
	"net/netip"
	"strings"

	"sampan.dev/internal/cloud"
	"sampan.dev/internal/cloud/local"

	"github.com/spf13/pflag"
)

// BalancerFlags say which addresses Services of type LoadBalancer get.
func (c *Config) BalancerFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&c.Cloud.Ranges, "load-balancer-range", nil, "addresses for Services of type LoadBalancer, FIRST-LAST, ADDRESS/BITS or ADDRESS, each announced by one node by ARP or NDP; may be given several times (default none: such a Service gets the nodes' addresses)")
}

// checkRanges refuses ranges of balancers' addresses that nobody gives out, and those that are somebody else's already.
func (c *Config) checkRanges(pods, services netip.Prefix) error {
	if len(c.Cloud.Ranges) > 0 && c.Cloud.Provider != local.Name {
		return fmt.Errorf("addresses are given out of ranges by --cloud=%s alone, and it is %s", local.Name, c.Cloud.Provider)
	}
	for _, s := range c.Cloud.Ranges {
		r, err := cloud.ParseRange(strings.TrimSpace(s))
		switch {
		case err != nil:
			return fmt.Errorf("invalid value %q: %w", s, err)
		case r.Overlaps(pods):
			return fmt.Errorf("%s overlaps the pods' addresses, %s", s, pods)
		case r.Overlaps(services):
			return fmt.Errorf("%s overlaps the services' addresses, %s", s, services)
		}
	}
	return nil
}
