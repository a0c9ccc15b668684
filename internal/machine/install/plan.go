package install

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Plan is what is to be installed. Paths in what is written (the unit, links) are without Root, which is where the machine's file system
// lies while a package is made; "" on the machine itself.
type Plan struct {
	Root   string
	Prefix string   // /usr/local
	From   string   // folder of the programs
	Names  []string // of the programs and images there
	Agent  bool     // the unit runs a node of a cluster elsewhere
}

// Programs are what belongs beside sampan, some of which a build may lack.
var Programs = []string{
	"sampan", "sampan-cni", "sampan-monitor", "sampan-shim", "sampan-keep", "containerd", "containerd-shim-runc-v2", "runc", "kubectl", "pause.tar", "demo.tar",
}

// UnitPath is where systemd finds the unit.
const UnitPath = "/etc/systemd/system/sampan.service"

// File is one that is installed: a copy, a link or a text.
type File struct {
	Path string // without Root
	From string // copy of
	Link string // symbolic link to
	Text string
	Mode uint32
}

// lib is the folder of the programs.
func (p Plan) lib() string { return filepath.Join(p.Prefix, "lib", "sampan") }

// Record is the list of what was installed, a path a line.
func (p Plan) Record() string { return filepath.Join(p.lib(), "installed") }

// Files are all that is installed, the record aside.
func (p Plan) Files() []File {
	var out []File
	for _, name := range p.Names {
		mode := uint32(0o755)
		if strings.HasSuffix(name, ".tar") {
			mode = 0o644
		}
		out = append(out, File{Path: filepath.Join(p.lib(), name), From: filepath.Join(p.From, name), Mode: mode})
	}
	return append(out,
		File{Path: filepath.Join(p.Prefix, "bin", "sampan"), Link: "../lib/sampan/sampan"},
		File{Path: UnitPath, Text: p.Unit(), Mode: 0o644})
}

// Unit is the unit for systemd. It is ready when the cluster is; its end leaves the containers running, so that an upgrade disturbs
// none, and `sampan down` ends those; cgroups below its own are the node's.
func (p Plan) Unit() string {
	what, command := "a Kubernetes cluster", "server"
	if p.Agent {
		what, command = "a node of a Kubernetes cluster elsewhere", "agent"
	}
	return fmt.Sprintf(`# Written by 'sampan install'. Settings belong into /etc/sampan/config.yaml; changes of the unit into a drop-in
# ('systemctl edit sampan').
[Unit]
Description=sampan, %s
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
NotifyAccess=main
ExecStart=%s %s
Restart=always
RestartSec=1
TimeoutStartSec=infinity
TimeoutStopSec=60
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
`, what, filepath.Join(p.Prefix, "bin", "sampan"), command)
}
