// Package kubelet is the kubelet under upstream's flags and KubeletConfiguration: node/kubelet with node/serve, a container runtime
// of somebody else's, and an API server that a kubeconfig names. Without a kubeconfig static pods run alone
// (alone.go). Who makes the pod network is the runtime's affair, as upstream.
//
// [Config.Run] owns the connection to the runtime, the door, the node's credentials and the listeners for as long as it runs;
// containers outlive it. cmd/sampan imports it, for what the settings of a node mean too.
package kubelet
