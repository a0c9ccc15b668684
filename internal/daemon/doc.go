// Package daemon runs the long-lived parts of a process together: when one fails or the context ends, all are told to
// stop and waited for.
//
// It owns no data besides the list of parts. cmd/sampan alone imports it.
package daemon
