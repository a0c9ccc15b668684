// Package unbuilt is the one list of what the API accepts, as upstream's does, and nothing acts upon yet. Nothing on it is
// accepted in silence: the hub's admission turns it into Warning headers, scheduler and kubelet into events on the pods that
// ask for it, the node refuses a pod whose isolation hangs on it, and the controller manager says which controllers it was
// asked for and does not have.
//
// Whoever builds one of these things takes its line out; a test compares the list with the code that would act and fails on a
// line too many as well as on a field that nobody reads and no line names.
//
// It owns no data and runs no goroutine. Hub, control and node import it.
package unbuilt
