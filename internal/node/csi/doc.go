// Package csi makes the volumes of CSI drivers present on a node: it is the kubelet's side of the Container Storage Interface.
//
// A driver registers through node/plugins (driver.go); what it says of the node is written to the node's CSINode, to an annotation and to
// labels of the node (announce.go). A volume of a pod is then made in upstream's steps (mount.go): wait until the control plane has attached it
// (attach.go), have it staged once for the node (stage.go), have it published for the pod (publish.go). Block devices take other
// paths (block.go). Volumes that have grown are grown on the node too (expand.go). Unmounting goes the steps back
// (unmount.go); whoever is the last on the node to leave a volume has it unstaged.
//
// Paths and files are upstream's (paths.go): drivers hard-code them, and what an earlier kubelet left, upstream's among them, is found by
// them. Drivers are told to do again what an earlier run of the kubelet may have had done: the interface's calls are idempotent.
//
// A Manager owns the connections to drivers and who on the node has which volume. It runs no goroutine but the one that makes the CSINode when
// the node is first seen, grpc's for drivers that are there, and one for each of these that wants to be asked again how many volumes it takes. Calls for one pod must not overlap. node/volume hands
// volumes to it, and the kubelet joins it to the rest.
package csi
