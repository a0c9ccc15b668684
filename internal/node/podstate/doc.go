// Package podstate decides what a pod needs and how it looks, from its spec and from what the runtime and the probes say of it.
//
// [Step] says what to start and stop next, [Status] and [Stamp] compute the status that the API shows, [Backoff] keeps how long a
// container that crashes has to wait. All of them are functions of values: there is no clock, no goroutine and no I/O here, and
// testdata/step.txt and testdata/status.txt are whole lives of pods as scripts. Of node/runtime and node/probe only the types of
// observations are used. The kubelet asks at each turn of a pod's worker; node/podstatus writes down what comes out.
package podstate
