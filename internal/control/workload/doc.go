// Package workload holds the controllers that turn a workload into pods: replicaset and replicationcontroller (one core,
// replicas.go) and deployment. Those that keep revisions have folders of their own below it (statefulset, daemonset), and so has
// what several of them need (history, podcontrol).
//
// What they decide is in pure functions (planReplicas, statusOf, planDeployment) from objects to a plan; the shells around
// them read informers, carry the plan out through the door and note their writes in a ledger. They own no data.
//
// Their goroutines are those of loop.Controller. internal/control imports them and nobody else.
package workload
