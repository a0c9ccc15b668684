// Package event records as Events of the hub what happens on a node: to its pods, to their containers, to the node itself.
//
// It owns no data and runs the one goroutine of client/record that writes. The kubelet and its rooms import it.
package event
