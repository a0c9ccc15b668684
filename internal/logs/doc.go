// Package logs reads the log files of a cluster for a person: the lines of one part, from some time on, and what is added while they
// look.
//
// It owns no data. The goroutine of the caller follows a file, woken by inotify. cmd/sampan imports it.
package logs
