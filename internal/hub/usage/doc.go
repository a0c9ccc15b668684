// Package usage answers for metrics.k8s.io: what nodes and pods use now, for kubectl top and horizontal autoscalers, as a metrics
// server does. Figures come from the kubelets' /metrics/resource when somebody asks; nothing is sampled in the background.
//
// It owns the last two readings of each node that was asked for, and no goroutine but those of a request under way. The hub imports it;
// an APIService for the group has somebody else answer instead.
package usage
