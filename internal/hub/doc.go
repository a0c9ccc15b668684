// Package hub is the API server: the only thing that holds state and the only thing anyone talks to.
//
// A request passes, in this order and one file each: recover and audit (pipeline.go), routing (route.go), authentication,
// impersonation (impersonate.go), in-flight accounting (flow.go), authorization, and then a verb (resource.go, over hub/verb
// and hub/wire), a stream (connect.go), or one of the fixed paths (paths.go, health.go, discovery.go, version.go,
// wellknown.go). Doors in process (client/local) join at authorization.
//
// It owns one watch cache per kind and, in Run, the goroutines of these, of the informers that authorization and admission
// read, and of the HTTPS server. cmd/sampan alone imports it.
package hub
