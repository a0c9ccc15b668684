// Command schedule compares two schedulers at one API server: the stock kube-scheduler under one scheduler name and sampan's under another.
//
// For each case it makes nodes and pods from a seed, has both place the same pod one after the other, each in the same state, and
// compares: the node, or the message; and the pods that preemption marks. Of nodes that are equally good each may choose any, so
// that a case in which they choose different ones is repeated until they have one in common. run.sh starts what is needed.
package main
