// Package admit decides whether a node takes a pod that was bound to it: whether it fits beside the others, may set the kernel
// parameters that it asks for, and is as isolated as it asks to be. A pod that is rejected fails with the reason and message of the
// Rejection.
//
// It is pure: it owns nothing and runs nothing. The kubelet imports it.
package admit
