// Package cmpopts is empty: tests of our dependencies name it, and `go mod tidy` wants to find it.
package cmpopts
