// Scenes plays scenes that are made from a seed (workloads that are made, scaled, updated and deleted, nodes that are lost, claims,
// budgets, quotas, namespaces that go) on a stock control plane and on sampan, with hollow nodes on both, and tells where the objects,
// conditions and events that are left differ.
//
//	go run ./e2e/differential/scenes --peer PEER.kubeconfig --sampan SAMPAN.kubeconfig --seed 1 --count 300
//
// Each scene has a namespace and three nodes of its own, so many run at once. What a name, an address, a UID or a time is by chance
// is made alike before the comparison (alike.go). It ends with status 1 when there is a difference that is not on the list of known
// ones (known.go).
package main
