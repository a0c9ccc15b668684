// Package cgroup keeps the control groups that pods run in: kubepods, its burstable and besteffort parts, and one group per
// pod, on cgroup v1 (every controller its own tree) and v2 alike. Containers' own groups below a pod's are the runtime's.
//
// Names are upstream's in both drivers' spelling, because cAdvisor, node-exporter and people look for them. It owns no data
// but the file system's, runs no goroutines, and touches nothing outside the root it was given. The kubelet and
// node/{stats,evict} may import it.
package cgroup
