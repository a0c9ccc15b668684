// Package side starts and stops what is compared: sampan, and real Kubernetes by the scripts of the peer. It owns the data
// directories, processes and network namespaces that it makes, and takes them away in Wipe; it ends processes by the ids that it
// knows only. It runs no goroutine of its own but those that wait for child processes.
package side
