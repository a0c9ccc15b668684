// Package serve is the kubelet's HTTPS face: what the hub, metric scrapers and (through the hub) people ask of one node:
// logs, exec, attach, port-forward, the pods it runs, statistics and health.
//
// It owns no state. What it serves comes from a [Host], which the kubelet implements; who may ask is decided by the hub
// through the door (TokenReview, SubjectAccessReview) and remembered for a short while. [Server.Run] owns the listeners
// (:10250 with TLS, :10248 for health on loopback); a request runs on its connection's goroutine, and a stream session on
// a few more that end with it. internal/node/kubelet and internal/machine may import it.
package serve
