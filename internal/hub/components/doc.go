// Package components answers for ComponentStatuses: how the store, the controllers and the scheduler are, asked when somebody reads.
//
// It owns nothing and runs no goroutine but those of a request under way. The hub imports it.
package components
