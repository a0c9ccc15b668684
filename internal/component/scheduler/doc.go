// Package scheduler is kube-scheduler: control/scheduler under upstream's flags and KubeSchedulerConfiguration, against an API
// server that a kubeconfig names.
//
// [Config.Run] owns the doors, the lease, and the HTTPS face for as long as it runs. cmd/sampan imports it.
package scheduler
