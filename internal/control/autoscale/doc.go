// Package autoscale is the horizontal-pod-autoscaler-controller: it sets the number of replicas of whatever has a scale by the
// metrics of its pods, of other objects, or from outside.
//
// A look at an autoscaler reads the scale of its target and a sample of each metric (metrics.go), makes a proposal of each
// (measure.go, by the arithmetic of replicas.go), and lets the greatest through as far as the recent past and the limits allow
// (limits.go). Those are pure. autoscale.go carries it out, every 15 seconds for each autoscaler.
//
// It owns, for each autoscaler, its recent recommendations and changes, and the selector of its target. Goroutines: its workers.
// internal/control imports it.
package autoscale
