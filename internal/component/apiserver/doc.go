// Package apiserver is kube-apiserver: the hub under upstream's flags, on an etcd that the flags name.
//
// [Config.Run] owns the connection to etcd, the listener, the audit log and the hub for as long as it runs. cmd/sampan imports it,
// for what the settings of an API server mean too.
package apiserver
