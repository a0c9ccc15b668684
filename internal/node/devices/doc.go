// Package devices gives containers what device plugins have: GPUs, network cards, whatever a program on the node announces over gRPC. It is the
// device manager.
//
// A plugin registers at the kubelet's socket (server.go), is called back at its own and lists its devices from then on (plugin.go).
// How many there are becomes capacity of the node. A container that asks for some is given devices that are healthy and free, near
// each other where the topology manager says so, and the plugin is told and says what the container needs for them: files,
// mounts, variables, CDI names (allocate.go). Who has which stands in a checkpoint of upstream's form (state.go).
//
// It owns what plugins have told and the table of who has what. Its goroutines are the listener's and, for each plugin, one that reads its
// list. node/placement joins it to the kubelet.
package devices
