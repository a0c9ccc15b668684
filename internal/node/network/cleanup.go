package network

import (
	"errors"

	"sampan.dev/internal/node/firewall"
	nf "sampan.dev/internal/node/nft"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Cleanup removes the links, routes and rules of an instance, those in the tables of others too, from the network namespace it
// is called in. Files stay where
// they are: they go with the data and run directories. What is not there is not an error.
func Cleanup(instance string) error {
	n := names{instance}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	errs := []error{nf.DropTables(n.table()), firewall.Cleanup(firewall.Config{Mark: n.table(), Ours: notForeign})}
	links, err := whole(h.LinkList)
	errs = append(errs, err)
	for _, l := range links {
		if n.owns(l.Attrs().Name) {
			errs = append(errs, delLink(h, l.Attrs().Name))
		}
	}
	routes, err := listRoutes(h, n)
	errs = append(errs, err)
	for _, r := range routes {
		if err := h.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
