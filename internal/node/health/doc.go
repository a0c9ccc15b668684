// Package health knows how the container runtime is: whether it answers, says that it is ready, has a pod network, and shows what
// runs to whoever lists it.
//
// It owns the runtime's last answers. A question to the runtime has a goroutine of its own, so that a runtime that hangs holds up
// nobody; there is one at a time. The kubelet and node/register, which tells the hub of it, import it.
package health
