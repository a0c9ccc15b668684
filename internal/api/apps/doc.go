// Package apps describes the kinds of the apps group, one file per kind; a kind too long for one file is spread over files that
// start with its name.
//
// It owns no data, runs no goroutines and does no I/O. It imports api, api/valid and, for pod templates, api/core. api/all lists
// its kinds.
package apps
