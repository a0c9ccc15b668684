// Package sim makes clusters without machines: hollow nodes that register, beat and run pods as far as the API can tell, and
// scenarios over them in virtual time.
//
// It owns no data beyond a hollow node's record of its pods. A hollow node runs one goroutine for its heart and one for its
// pods. Tests and benches import it.
package sim
