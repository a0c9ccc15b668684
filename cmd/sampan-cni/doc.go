// Command sampan-cni is the CNI plugin through which a container runtime reaches the pod network: it passes each request
// on to the node process, over the unix socket that its configuration names, and prints the answer.
//
// It owns nothing and starts no goroutines. It is run for every pod, so it imports next to nothing: no net, no fmt.
package main
