// Package allocation remembers what each pod of a node was given of CPU and memory, and decides whether it may have more or less.
//
// A pod's spec says what it wants, which may change while it runs. What the node has agreed to is its allocation ([Info], in the
// store of allocations); what its containers have been made to keep to is what is actuated (the second store). [Manager] holds
// both and writes each to a checkpoint that a stock kubelet reads and writes too (allocated_pods_state, actuated_pods_state), so that
// a restart of the kubelet neither forgets an answer nor takes a wish for one. [Infeasible], [Order] and [Message] are functions of
// values. It runs no goroutines. The kubelet imports it, and node/podstate its values.
package allocation
