// Package face is the small HTTPS server that upstream's scheduler and controller manager have: /healthz, /livez and /readyz for
// everybody, /metrics and /configz for those whom the API server lets.
//
// It owns its listener while [Config.Run] runs, and a goroutine of net/http's for each connection. The components import it.
package face
