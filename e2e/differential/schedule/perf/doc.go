// Command perf measures a scheduler by the cases of Kubernetes v1.37's test/integration/scheduler_perf: how many pods a second it binds, and
// what CPU time that costs it.
//
// The cases are facts of those configurations, as data of our own (cases.go, pods.go): which nodes and pods there are, which are made while
// time is taken, what else goes on. Not among them are those of gangs and of devices, and those that only wake waiting pods by events.
// It speaks to an API server by a kubeconfig and knows no scheduler but by its name and process; perf.sh starts what is needed and has the
// stock scheduler and sampan's do the same one after the other.
package main
