// Package why answers what keeps an object from being as it was asked for: one list of findings, each with the smallest change that
// would help.
//
// Facts are read once, through a client (gather.go); what they mean is decided by pure functions, one file per kind, which the golden
// tests hold. For a pod without a node the scheduler's own plugins judge each node. It owns no data and runs nothing. Only cmd/sampan
// imports it.
package why
