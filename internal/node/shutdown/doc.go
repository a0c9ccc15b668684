// Package shutdown ends a node's pods in order before the machine shuts down: those of the lowest priorities first, each group with a
// time of its own, while systemd's logind waits. The node says meanwhile that it is not ready and takes no pods.
//
// Manager is upstream's node shutdown manager: it holds a delay lock of logind's, is told over D-Bus that a shutdown begins, ends the pods
// and lets go of the lock. Which pods get how long is decided by pure functions (periods.go); logind.go speaks to logind. Without
// a period nothing runs; without a bus a line in the log says so, and that is all. The kubelet imports it.
package shutdown
