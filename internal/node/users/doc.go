// Package users gives pods with users of their own (hostUsers: false) the ranges of user and group IDs that their users are on the host:
// each pod another range, none of them root or anybody else.
//
// Who has which range stands in a file in the pod's directory, as a stock kubelet writes it, before the pod's sandbox is made; so a
// kubelet that starts again, or another in its place, gives no range to a second pod. Manager owns the table of ranges, which it reads from
// these files when the first pod asks. It has no goroutines. The kubelet imports it.
package users
