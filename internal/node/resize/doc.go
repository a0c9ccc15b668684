// Package resize changes the CPU and memory of pods while they run.
//
// [Queue] answers the pods whose spec asks for something else than they were given, as room comes and goes; [Actuator] brings the control
// groups and containers of one pod to what it was given, in an order in which no container is held to more than its pod. What was given
// and what was done is node/allocation's; which containers are to change, and whether they are started anew, node/podstate decides. It
// runs no goroutines; the queue has a timer while somebody waits. The kubelet imports it.
package resize
