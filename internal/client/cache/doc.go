// Package cache keeps a local, indexed, up-to-date view of a resource (an informer) over any door. Over the local door it
// shares the hub's object pointers, so that a second view of the same objects costs a map.
//
// One goroutine per informer lists and watches and calls the handlers, in the order of events. Objects are frozen.
package cache
