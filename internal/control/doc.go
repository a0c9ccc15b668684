// Package control is the controller manager: the literal list of controllers with upstream's names, and what runs them.
//
// Every controller gets a door of its own (its service account in kube-system), and all share one set of informers. The
// rooms below hold the controllers, one file each; control/loop is their kit. The scheduler (control/scheduler) is a
// component of its own and not run here.
//
// It owns no data. Goroutines: one per watched kind, and those of the controllers; Run ends when all have. cmd/sampan
// imports it.
package control
