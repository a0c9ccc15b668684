// Sampan-monitor is the process between containerd and the containers of a node: one for all containers, where the stock shim is one
// process per pod and starts runc four times for each container. It makes containers with libcontainer, runc's library, in
// process: a container costs one start of a program instead of five, and thirty pods cost one monitor instead of thirty shims.
//
// Containerd calls it as it calls any shim of version 3 (the task and the sandbox service of containerd's API, over ttrpc):
//
//	containerd ── exec ──> sampan-shim (launch/launch.c) ── is there a monitor? ──> monitor.ctl
//	     │                                                                              │
//	     └──────────────── ttrpc ─────────────────────────────> monitor.sock ──> service.go, sandboxes.go
//	                                                                                    │        │
//	                                    container.go ── libcontainer ──> sampan-monitor init    pause
//	                                                                          │                (tools/pause)
//	                                                                    the container        the namespaces
//
// A pod's sandbox is no container: one small process in C holds its namespaces, in an empty file system and without
// privileges, and the files that its containers mount (hosts, hostname, resolv.conf, /dev/shm) lie where containerd looks for
// them. A pod may have users of its own: the process then enters the user namespace that containerd made with the network's, and makes
// the others there.
//
// The state of a container is kept as runc keeps it, in the same place, and the bundle has the files that the stock shim writes, so
// that runc and the stock shim can do what is rare: runc changes limits.
//
// After an upgrade the node names another monitor (monitor.name in the state directory): sockets and log go by that name, and the
// monitor of the earlier build keeps its containers beside it until the last has ended.
//
// The monitor outlives sampan and containerd, and ends with its last container. One that was killed leaves containers whose end
// nobody would see. Containerd's clean-up has the launcher start the next monitor, which kills and removes them before it serves
// (sweep.go), so that no container runs beside the copy that replaces it.
//
// The files stand in layers, each using those above it in this list only:
//
//	key, cgroup, podconfig, publish, stats, stdio   ids, control groups, the pod's configuration, events, numbers, streams
//	process, bundle, podfiles, sweep                one process, a container's directory, a pod's files, what a dead monitor left
//	container, exec, sandbox                        one container, its further processes, one sandbox
//	service, sandboxes                              containerd's two services
//	monitor, serve, main                            when the process ends, and how it begins
package main
