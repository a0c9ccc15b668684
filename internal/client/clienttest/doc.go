// Package clienttest is the conformance suite of client.Interface. The tests of the doors run it against a real hub;
// nothing else imports it.
//
// It wants a door of a cluster administrator (system:masters) and makes its own namespaces, config maps, secrets and
// deployments. It does not wait for any controller.
package clienttest
