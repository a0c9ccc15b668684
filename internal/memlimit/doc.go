// Package memlimit finds out how much memory the process may use, and tells Go's runtime so.
//
// It holds no state and runs no goroutines. cmd/sampan calls it once at start; what it finds is passed on to whoever keeps
// a budget of bytes.
package memlimit
