// Package kubelet makes one machine's containers match the pods that the hub has bound to it, and reports back.
//
// One goroutine per pod (worker.go) turns around a pure step: podstate.Step looks at the pod's spec, at what the runtime has of
// it and at probe results, and says what to do; act.go does it; podstate.Status says how it looks in the API; podspec
// describes its containers to the runtime.
// A worker sleeps until its pod changes, the runtime reports an event, a probe changes its mind or a timer of the step
// runs out. Nothing polls.
//
// Around the workers: the sources of pods (the hub's watch narrowed to this node; node/source for static pods), node/register with the Node and its
// Lease, the certificates, log rotation and garbage collection. What is known of pods lives in the runtime (labels on
// containers), in the hub and below the root directory; a restarted kubelet reads it back and restarts nothing.
//
// It is a component: it knows the door and its leaves (node/{event,health,image,register,source,podstate,podspec,podstatus,object,runtime,volume,cgroup,probe,evict,stats}). internal/machine and
// internal/sim may import it; node/serve is joined to it by the interfaces that it declares.
package kubelet
