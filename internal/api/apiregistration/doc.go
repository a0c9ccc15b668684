// Package apiregistration has the kind APIService: which group versions there are, who answers for each, and in which order clients
// are told of them; and the list of those that this program answers for itself.
//
// It owns no data and no goroutines. internal/api/all lists the kind; the hub reads and writes its objects.
package apiregistration
