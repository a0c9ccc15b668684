// Package quota is the resourcequota-controller: it counts what the objects of a namespace take up of its ResourceQuotas and writes that
// into their status. Admission charges what comes, and the controller gives back what goes.
//
// It owns a note for each quota of when it last changed. Its goroutine is that of its queue; informers of resources that no quota limits
// are not started. Only internal/control imports it.
package quota
