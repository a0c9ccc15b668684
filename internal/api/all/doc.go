// Package all is the literal list of every kind that is served, in discovery's order.
//
// It owns no data and runs no goroutines. The hub and the tests import it.
package all
