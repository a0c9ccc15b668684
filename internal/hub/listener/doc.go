// Package listener serves HTTPS on a port: it accepts connections, shakes hands and hands each to the server that speaks its
// protocol, hub/h2 or net/http.
//
// It owns the connections until they have ended, with a goroutine for each. Only the hub imports it.
package listener
