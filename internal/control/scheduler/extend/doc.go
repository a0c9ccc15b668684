// Package extend asks HTTP servers of others what a scheduler asks its plugins: which of the nodes that fit may be chosen, which of them
// are better, whose eviction makes room, and to write the binding. What is sent and answered are upstream's types
// (k8s.io/kube-scheduler/extender/v1).
//
// An Extender owns an HTTP client and nothing else; each call blocks its caller until the answer, or the extender's timeout. The scheduler
// imports this package, and the component that reads KubeSchedulerConfiguration.
package extend
