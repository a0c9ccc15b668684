// Package etcd is an etcd of one member with upstream's flags, for test suites that start an API server and an etcd beside it
// (controller-runtime's envtest). It serves one plain HTTP port on this machine; the etcd that `sampan up` embeds is hub/store/etcd.
//
// It owns the member's directory while it runs. cmd/sampan imports it.
package etcd
