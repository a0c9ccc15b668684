// Package cgroup keeps the control groups that pods run in: kubepods, its burstable and besteffort parts, and one group per
// pod, on cgroup v1 (every controller its own tree) and v2 alike. Containers' own groups below a pod's are the runtime's.
//
// Names are upstream's in both drivers' spelling, because cAdvisor, node-exporter and people look for them. With the driver cgroupfs the
// groups are directories that this package makes. With the driver systemd they are slices that systemd makes when asked over D-Bus, and every
// limit is both told to systemd, which would else undo it when it next looks, and written, because systemd knows only some of them.
//
// It owns no data but the file system's, runs no goroutines but those of the connection to systemd, and touches nothing outside the root it
// was given. The kubelet and node/{stats,evict} may import it.
//
//	cgroup, class, limits    pods' groups, their classes, what they are held to
//	slice, bus               the driver systemd: names and properties; the connection
//	usage, pressure          what groups use
//	kill, remove             the end of groups
package cgroup
