// Package stats says what a node, its pods and their containers use: the summary of /stats/summary, and the same figures as
// Prometheus text for /metrics/resource and, as far as dashboards need them, /metrics/cadvisor.
//
// Figures come from control groups, from the runtime (containers) and from file systems when they are asked for; nothing
// is sampled in the background. It owns the last CPU readings, from which rates are computed. The kubelet may import it.
package stats
