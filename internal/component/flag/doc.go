// Package flag is how a component takes upstream's flags and configuration file: one literal [Table] with a row for each flag
// and each field of the file, which says whether it is honoured, accepted without effect, or refused, and why.
//
// It owns no data and runs no goroutine: values go where the rows point. The packages below internal/component import it, and
// cmd/sampan for the command line.
package flag
