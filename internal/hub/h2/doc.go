// Package h2 is the HTTP/2 server of the API, RFC 9113 over TLS. It runs an http.Handler as net/http's own does, and is
// there because that one's way of writing was most of what a cached list or a watch event cost: it hands every frame from
// the handler to the connection's goroutine and back, and gives each its own TLS record and system call.
//
// Here handlers append frames to the connection's outgoing buffer themselves, small writes growing the frame before them,
// and whoever flushes first writes what all of them have appended (conn.flush). A hundred watchers of one connection that an
// event wakes cost one record and one system call together.
//
// A connection has one goroutine that reads, which never waits for a write, one per request, and one timer, which is moved
// only by those who wait: for a body or a window that has a deadline, or for the rest of a body that was answered before it
// came. What clients may make the server do for nothing is bounded (calm.go). The buffer, the flow control
// windows and the streams are guarded by conn.mu; see docs/locks.md. HTTP/1.1 stays with net/http. Only package
// hub imports this one.
package h2
