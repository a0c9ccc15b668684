// Package flow decides how much the API server takes on at a time: so many requests that read, so many that write, and so
// many bytes of bodies and answers as the process has memory for. What there is no room for is refused, and its client
// comes again in a second.
//
// It owns the counts of requests under way and the budgets of bytes, and runs no goroutines. Only the hub imports it.
package flow
