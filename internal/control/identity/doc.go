// Package identity holds the controllers that give the cluster's members their identities: service accounts and the CA
// bundle of each namespace, certificates for kubelets and others, aggregated roles, and bootstrap tokens.
//
// One file per controller, each with a New function that internal/control's list calls with a loop.Env. They own no data but
// their queues; the signer holds the authorities it signs with. Goroutines are those of loop.Controller. Only
// internal/control imports it.
package identity
