// Package claims gets the devices ready that pods of the node claim: before a pod's sandbox is made it has the drivers of the devices
// prepare them (NodePrepareResources), tells the runtime by which CDI names a container gets them, and has the drivers take them back
// when nothing of the pod runs any more. It is what upstream calls the DRA manager.
//
// A [Manager] knows the drivers that registered themselves (node/plugins hands them over) and which pods have which claims. The latter
// stands in a checkpoint that a stock kubelet reads (state.go), so that a kubelet that starts anew gives containers the same devices and
// takes back what pods had that are gone. Of a driver that says so it follows how its devices are (health.go); the slices of a driver that
// stays away are deleted (driver.go). Until the first driver or claim it is a map that is empty; each driver has one goroutine that
// watches its connection, and one for the health of its devices. The kubelet imports it.
package claims
