// Package kubelet makes one machine's containers match the pods that the hub has bound to it, and reports back.
//
// One goroutine per pod turns around a pure step: podstate.Step looks at the pod's spec, at what the runtime has of it and at
// probe results, and says what to do; the operation does it; podstate.Status says how it looks in the API; podspec describes its
// containers to the runtime. A worker sleeps until its pod changes, the runtime reports an event, a probe changes its mind or a
// timer of the step runs out. Nothing polls.
//
// The files stand above each other, and each uses those below it:
//
//	host.go                            the kubelet as its HTTPS server sees it
//	kubelet.go                         joins all: where pods come from, who gets a worker
//	turn.go, stage.go, worker.go       a pod's life on the node, stage by stage
//	start.go, stop.go, operation.go    what is done for a pod, one task at a time
//	container.go, sandbox.go, environment.go, hook.go, probes.go    parts of such tasks
//	base.go                            the rooms that all pods share
//	roster.go, record.go               which pods there are, and what everybody may know of each
//	config.go, machine.go              what a kubelet is made with
//
// The rooms beside it: node/source has the static pods and their mirrors, node/admit decides which pods the node takes,
// node/image has images there, node/podhost makes a pod's control group, directories, volumes and logs, node/register keeps the
// Node and its Lease, node/health knows how the runtime is, node/podstatus writes statuses, node/object reads what volumes show.
// What is known of pods lives in the runtime (labels on containers), in the hub and below the root directory; a restarted kubelet
// reads it back and restarts nothing.
//
// It is a component: it knows a client of the hub and its leaves. internal/machine and internal/component may import it; node/serve
// is joined to it by the interfaces that it declares.
package kubelet
