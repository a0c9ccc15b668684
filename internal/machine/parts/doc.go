// Package parts is the file in which a running process says how its parts are, for `sampan status` and whoever else asks.
//
// The file is below the run directory, so it is memory, and it is written when a part starts or fails and at no other time: it costs
// an idle process nothing and can be read when the process answers nobody. It owns that file. cmd/sampan, internal/cluster and
// internal/status import it.
package parts
