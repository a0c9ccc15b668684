package doctor

import (
	"net/netip"
	"time"
)

// Facts are what is known of a machine and of the cluster that is, or is to be, in a data directory. The zero value of a fact that could
// not be found out gives no finding.
type Facts struct {
	DataDir string
	Running bool // a process has the data directory
	NoNode  bool // a control plane alone is looked at, which needs less

	Missing []error // what a node cannot do without, from machine.Prerequisites
	Kernel  string  // release
	Modules map[string]bool

	Cgroup      int             // version of the mounted hierarchy: 1 or 2; 0 for none
	Controllers map[string]bool // of it
	Filesystems map[string]bool // that the kernel knows now

	TakenPorts map[int]string // port: what of the cluster wants it
	Listen     string         // of the API server

	Disk Disk

	Now          time.Time
	Synchronised bool // the clock, by the kernel's word
	ClockKnown   bool

	Forwarding string // of net.ipv4.ip_forward

	NoFilter   error    // why nf_tables cannot be used; nil where they can
	DropChains []string // base chains of others that drop by default: "ip filter FORWARD"

	Pods, Services netip.Prefix            // of the cluster
	Others         map[string]netip.Prefix // of links, routes and other clusters, by what they are

	InotifyInstances, InotifyWatches int
	OpenFiles                        uint64 // limit of this process

	Swap   []string // devices in use
	Memory uint64   // bytes of the machine, or of the cgroup if that is less

	Leftovers []string // places of clusters that nobody has any more

	Nodes []netip.Addr // addresses of the nodes of the running cluster
}

// Disk is how full the file system of the data directory is.
type Disk struct {
	Path               string
	Free, Size         uint64 // bytes
	Inodes, FreeInodes uint64
	ReadOnly           bool
}
