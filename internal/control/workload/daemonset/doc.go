// Package daemonset is the daemonset-controller: a pod on each node that a DaemonSet wants, replaced when its template changes.
//
// What one look at a set leads to is decided by pure functions (manage, roll, countStatus) from the set, the nodes and its pods;
// the shell around them reads informers, carries the decision out through the controller's client and notes its writes in a
// ledger. The scheduler binds the pods: each is made with a node affinity for the one node that it is for.
//
// It owns no data but how often pods have failed on which node. Its goroutines are those of loop.Controller. internal/control
// imports it and nobody else.
package daemonset
