package status

import (
	"time"

	"sampan.dev/internal/daemon"
	"sampan.dev/internal/manifests"
)

// States of a cluster.
const (
	Running  = "running"  // a process has the data directory and all that it was asked for has come up
	Starting = "starting" // a process has the data directory
	Stopped  = "stopped"  // there is data and nobody has it
	Absent   = "absent"   // there is no data
	Unknown  = "unknown"  // whoever asks may not look
)

// Status is how one data directory is. Fields that do not apply are left out: a cluster that is stopped has no parts, a node of a cluster
// elsewhere no kubeconfig.
type Status struct {
	Name    string     `json:"name,omitempty"` // as --name takes it
	DataDir string     `json:"dataDir"`
	State   string     `json:"state"`
	PID     int        `json:"pid,omitempty"`
	Command string     `json:"command,omitempty"` // the subcommand that it runs: "up", "server", "agent"
	Since   *time.Time `json:"since,omitempty"`   // when the process was started
	NodePID int        `json:"nodePID,omitempty"` // of the node, where that is a process of its own

	Version    string `json:"version,omitempty"`    // the build that runs, which may be older than the one that asks
	Kubernetes string `json:"kubernetes,omitempty"` // the version that it implements
	Server     string `json:"server,omitempty"`     // URL of the API server
	Health     string `json:"health,omitempty"`     // of the API server: "ready", or why not
	Pods       string `json:"clusterCIDR,omitempty"`
	Services   string `json:"serviceCIDR,omitempty"`
	Kubeconfig string `json:"kubeconfig,omitempty"`
	Log        string `json:"log,omitempty"` // a file; "" when it is whoever started the process that has it

	NodeLog string `json:"nodeLog,omitempty"`

	Parts []daemon.State `json:"parts,omitempty"`
	Nodes []Node         `json:"nodes,omitempty"`
	Ports []Port         `json:"ports,omitempty"`
	// Manifests are the files of the folder that is applied to the cluster.
	Manifests []manifests.Entry `json:"manifests,omitempty"`
	Problems  []string          `json:"problems,omitempty"` // what a person should look at, in words

	kubelets map[uint16]string // ports that nodes say their kubelets have
}

// Node is what the API server says of one.
type Node struct {
	Name    string    `json:"name"`
	Status  string    `json:"status"` // as kubectl has it: "Ready", "NotReady,SchedulingDisabled"
	Roles   string    `json:"roles,omitempty"`
	Address string    `json:"address,omitempty"`
	Version string    `json:"version,omitempty"` // of its kubelet
	Since   time.Time `json:"since"`             // when it became Ready, or ceased to be
}

// Port is one that the process listens on.
type Port struct {
	Port    uint16 `json:"port"`
	Address string `json:"address"`
	What    string `json:"what,omitempty"`
}

// Well reports whether the cluster runs and has nothing to tell of that is down.
func (s *Status) Well() bool { return s.State == Running && len(s.Problems) == 0 }
