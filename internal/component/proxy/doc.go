// Package proxy is kube-proxy: node/proxy with nftables, or in userspace, under upstream's flags and KubeProxyConfiguration, against an API server
// that a kubeconfig names.
//
// [Config.Run] owns the door, the informers and the two small HTTP servers for as long as it runs; the rules stay when it ends.
// cmd/sampan imports it.
package proxy
