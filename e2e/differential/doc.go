// Differential sends requests that are made from a seed to a stock API server and to sampan, and tells where the answers differ.
//
//	go run ./e2e/differential --peer PEER.kubeconfig --sampan SAMPAN.kubeconfig --topic crd --seed 1 --count 100
//
// It ends with status 1 when there is a difference that is not on its list of known ones (known.go). With --record it writes what
// the peer says to a file, for tests that have no peer.
package main
