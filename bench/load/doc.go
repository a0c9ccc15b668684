// Package load is the client: it puts one kind of load on an API server or a node and prints what came of it as one JSON
// object. It knows nothing of what stands behind the kubeconfig; memory, CPU and I/O of the servers are read from /proc for the
// process ids it is given. The driver runs it as a process of its own, so that its CPU is not taken for the servers'.
//
// Every command makes what it needs in namespaces of its own, has an end (-timeout), and leaves what it made: the driver
// erases the whole cluster afterwards.
package load
