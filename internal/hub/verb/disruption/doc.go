// Package disruption holds the rules of disruption budgets: which pods need one, whether one allows an eviction and what is told if it
// does not, and how an eviction is taken from it. They are upstream's, in its words (pkg/registry/core/pod/storage/eviction.go).
//
// All of it is pure but for the clock. It owns no data and runs no goroutine. hub/verb alone imports it.
package disruption
