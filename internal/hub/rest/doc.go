// Package rest serves the API over HTTP: the stages that every request passes, and the verbs on resources.
//
// A request passes, in this order and one file each: panic recovery (pipeline.go), routing (route.go), authentication
// (pipeline.go), impersonation (impersonate.go), in-flight accounting (flow.go), the bound on its time (overtime.go),
// authorization, and then a verb (resource.go, over hub/verb and hub/wire), a stream (connect.go), or a path that is no
// resource (Paths). When it has been answered it is counted and audited (account.go).
//
// It owns no data and runs no goroutines but one for each watch over a WebSocket. Only the hub imports it.
package rest
