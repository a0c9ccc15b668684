// Package paging holds the tokens by which clients continue a list.
//
// It is pure, owns no data and runs no goroutine. hub/verb alone imports it.
package paging
