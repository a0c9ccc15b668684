// Package proc reads what the kernel counts for processes and for the machine: CPU, memory, I/O, load. It owns no state and
// runs no goroutine but a sampler that its caller stops. The driver and the load program both read through it.
package proc
