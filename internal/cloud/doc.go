// Package cloud says what a cloud does for a cluster: it has machines, balancers in front of them, and routes between them. The
// interfaces have the methods of k8s.io/cloud-provider's, so that what is written for those fits; that package itself would bring
// a typed client of every API group into the binary (a fifth of its size). [Provider] holds those that a cloud offers.
//
// It owns no data and runs no goroutines. The loops of internal/control/cloud drive a provider; the folders below are providers.
package cloud
