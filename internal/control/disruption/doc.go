// Package disruption is the disruption-controller. It keeps the status of every PodDisruptionBudget: how many of the pods that it
// selects are wanted and healthy, and how many may therefore be evicted. The hub's eviction takes from that number, and names in
// status.disruptedPods whom it has taken it for; the controller gives it back when the pod is seen to go, or has not gone in time.
// It also takes back the condition DisruptionTarget of pods that nobody has deleted in time.
//
// The rules are upstream's (pkg/controller/disruption). plan.go is pure; scale.go asks how many pods a controller wants; controller.go
// joins both to the hub. It owns two queues, of budgets and of pods, and the parsed selectors. Only internal/control imports it.
package disruption
