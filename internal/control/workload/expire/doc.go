// Package expire is the ttl-after-finished-controller: it deletes Jobs, with their pods, some time after they have ended.
//
// It owns no data but its queue. Goroutines: its workers. internal/control imports it.
package expire
