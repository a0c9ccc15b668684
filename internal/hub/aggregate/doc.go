// Package aggregate hands requests for some group versions to the API servers that APIServices name, and keeps the APIServices of
// those that the hub answers for itself.
//
// [Aggregator.Run] runs one goroutine, which keeps the list, and two for each APIService of somebody else's: one looks whether its
// server answers and asks what it serves, one reads the Service and its endpoints. Without such an APIService there are none of them.
// Every connection is made by hub/egress. The package owns no stored data: what it finds is in the APIServices' status and in the
// catalog's delegates. The hub alone imports it.
package aggregate
