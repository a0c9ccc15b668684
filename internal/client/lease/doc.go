// Package lease elects one leader among the processes that hold doors to the same hub, by a coordination.k8s.io Lease, in
// the way client-go's leaderelection does it, so that stock components and ours can stand for the same lease.
//
// It owns nothing but what it remembers of the lease. Run works in its caller's goroutine, and runs the leader's function
// in one of its own.
package lease
