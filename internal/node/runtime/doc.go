// Package runtime speaks to the container runtime of a node over the CRI, and keeps the bundled containerd alive.
//
// [Interface] is what the kubelet needs of a runtime: [CRI] implements it over a gRPC unix socket, [Fake] in memory and
// safe for virtual time (tests, hollow nodes). Observations come out as small values ([Pod], [Sandbox], [Container]);
// configurations go in as CRI messages, which are public types already. What a container was made from is kept with it
// as CRI labels and annotations under upstream's names, so that a restarted kubelet picks it up (labels.go).
//
// It owns no data but the connection. Goroutines: gRPC's, those that Events and Containerd.Run start and wait for. The
// kubelet, internal/sim and internal/machine may import it.
package runtime
