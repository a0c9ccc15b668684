// Package connect carries out the subresources that are streams rather than objects: logs, exec, attach and port-forward, which
// end at a node's kubelet, and the proxies to pods, services and nodes.
//
// It owns no data. A stream runs on the goroutine of its request and two more while bytes are copied. The kubelet's
// serving certificate is always verified against the cluster's authority (Q07 of spec/system.md); a proxied pod's or
// service's never is, as upstream has it (Q14). The hub alone imports it.
package connect
