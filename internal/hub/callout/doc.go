// Package callout asks programs elsewhere that a kubeconfig file leads to: webhooks of authentication, authorization and audit.
//
// A [Client] owns the connections that it keeps open, and no goroutines of its own. The rooms of the hub that have such a webhook
// import it.
package callout
