// Package hold says which process has a data directory, keeps it running, and ends it.
//
// A [Claim] is a locked file: the kernel lets go of the lock when the process ends, so a number in a file is never believed alone. The
// keeper (tools/keep) holds a lock of its own beside it and starts a server again that has died. [Beside] is a second process of the same
// data directory with a claim and a keeper of its own. The package owns these files and the pipe to the terminal of `up`; it runs no
// goroutine but those that wait for a process while a caller does. cmd/sampan, internal/cluster and the packages of internal/machine import it.
package hold
