// Package stream carries exec, attach and port-forward sessions: between a client and the next hop that speaks for it, be
// that a kubelet (from the hub) or a container runtime's streaming server (from the kubelet). Clients speak SPDY, or
// WebSocket in several versions; next hops speak SPDY, and WebSocket up to version 4. A session is passed on as it is where
// both ends speak the same, and translated where only the client speaks the newer protocol.
//
// It owns nothing; every goroutine of a session ends with its request. internal/hub/connect and internal/node/serve may
// import it; it imports nothing of ours.
package stream
