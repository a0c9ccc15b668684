// Sampan-monitor looks after the containers of a node: one process for all of them, where the stock shim is one process per
// pod that starts runc four times for each container. It makes containers with libcontainer, runc's library, in process, so
// that a container costs one start of a program instead of five, and thirty pods cost one monitor instead of thirty shims.
//
// Containerd talks to it as to any shim of version 3 (the task and the sandbox service of containerd's API, over ttrpc):
//
//	containerd ── exec ──> sampan-shim (launch/launch.c) ── is there a monitor? ──> monitor.ctl
//	     │                                                                              │
//	     └──────────────── ttrpc ─────────────────────────────> monitor.sock ──> service.go, sandbox.go
//	                                                                                    │        │
//	                                    container.go ── libcontainer ──> sampan-monitor init    pause
//	                                                                          │                (tools/pause)
//	                                                                    the container        the namespaces
//
// A pod's sandbox is no container: one small process in C holds its namespaces, in an empty file system and without
// privileges, and the files that its containers mount (hosts, hostname, resolv.conf, /dev/shm) lie where containerd looks for
// them. User namespaces of pods are refused.
//
// The state of a container is kept as runc keeps it, in the same place, and the bundle has the files the stock shim writes:
// what is rare (changing limits) is left to runc and the stock shim, which find all they need.
//
// After an upgrade the node names another monitor (monitor.name in the state directory): sockets and log go by that name, and the
// monitor of the earlier build keeps its containers beside it until the last has ended.
//
// The monitor outlives sampan and containerd, and ends with its last container. One that was killed leaves containers whose end
// nobody would see: containerd's clean-up has the launcher start the next monitor, and that kills and removes them before it
// serves (sweep.go), so that none lives on beside its successor.
package main
