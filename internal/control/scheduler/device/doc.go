// Package device has the scheduler's plugin DynamicResources: pods with claims of devices get a node on which the devices can be had, and
// the claims their devices there.
//
// What there is to be given is worked out by the allocator of k8s.io/dynamic-resource-allocation, the one that the stock scheduler
// uses. The plugin sees claims, classes and slices through a [Cluster], which the scheduler fills with its informers when the first
// pod with a claim comes: until then it costs a look at one bit of each pod. An [Account], which all profiles share, holds which
// devices are given away, also by decisions that are not written yet. Pods with claims are not signed, and so are judged looking at
// nodes one by one. All but PreBind and the account belongs to the scheduler's goroutine. The scheduler alone imports it.
package device
