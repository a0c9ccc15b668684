// Package controllers is kube-controller-manager: control's controllers under upstream's flags, against an API server that a
// kubeconfig names.
//
// [Config.Run] owns the doors, the lease, and the HTTPS face for as long as it runs. cmd/sampan imports it.
package controllers
