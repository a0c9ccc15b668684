package proxy

import (
	"errors"
	"log/slog"
	"net/netip"

	"sampan.dev/internal/node/proxy"
	"sampan.dev/internal/node/proxy/nft"
	"sampan.dev/internal/node/proxy/userspace"
)

// ReasonUserspace is the reason of the event about a node whose proxy had to do without a packet filter.
const ReasonUserspace = "ProxyInUserspace"

// modes are what --proxy-mode takes. iptables and ipvs stand for what upstream has replaced by nftables.
var modes = []string{"", "nftables", "iptables", "ipvs", userspace.Mode}

// choose says whether connections are forwarded in userspace. They are where that is asked for, and where nf_tables cannot be
// used, which why then says, unless nftables is insisted on. supported tells why nf_tables cannot be used.
func choose(mode string, supported func() error) (inUserspace bool, why error) {
	switch mode {
	case userspace.Mode:
		return true, nil
	case "nftables":
		return false, nil
	}
	why = supported()
	return why != nil, why
}

// appliers makes what does the work, for IPv4 and, where pods have such addresses, for IPv6.
func (c *Config) appliers(pods4, pods6 []netip.Prefix, log *slog.Logger) (v4, v6 proxy.Applier) {
	inUserspace, why := choose(c.Mode, nft.Supported)
	if !inUserspace {
		if c.Mode != "" && c.Mode != "nftables" {
			log.Warn("the rules are nftables maps whatever the mode is called", "mode", c.Mode)
		}
		v4 = nft.New(nft.Config{Instance: c.Instance, Pods: pods4, Log: log})
		if len(pods6) > 0 {
			v6 = nft.New(nft.Config{Instance: c.Instance, V6: true, Pods: pods6, Log: log})
		}
		return v4, v6
	}
	if why != nil {
		log.Warn("services are forwarded in userspace: nf_tables cannot be used", "mode", userspace.Mode, "err", why)
		if c.Tell != nil {
			c.Tell(ReasonUserspace, "Services are forwarded in userspace, because nf_tables cannot be used: "+why.Error())
		}
	} else {
		log.Info("services are forwarded in userspace", "mode", userspace.Mode)
	}
	v4 = userspace.New(userspace.Config{Instance: c.Instance, Pods: pods4, Log: log, Tell: c.Tell})
	if len(pods6) > 0 {
		v6 = userspace.New(userspace.Config{Instance: c.Instance, V6: true, Pods: pods6, Log: log, Tell: c.Tell})
	}
	return v4, v6
}

// Cleanup takes away what an instance's proxy made of the machine, in either mode. Where nf_tables cannot be used there is
// nothing of it.
func Cleanup(instance string) error {
	errs := []error{userspace.Cleanup(instance)}
	if nft.Supported() == nil {
		errs = append(errs, nft.Cleanup(instance))
	}
	return errors.Join(errs...)
}
