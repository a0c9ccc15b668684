// Package verb carries out requests, one file per verb: get, list, watch, create, update, patch, apply, delete,
// deletecollection. It knows nothing of HTTP; the hub's server and the local door both end here.
//
// The hub alone imports it.
package verb
