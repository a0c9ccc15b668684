// Package devices answers the questions that scheduler, controllers and kubelet ask alike of dynamic resource allocation: whether a
// pod has claims of devices and is done with them, which pod a claim was made for, which taints the devices of slices have.
//
// All are functions of values, which are only read; what is changed is a copy. How a pod names its claims is for
// k8s.io/dynamic-resource-allocation/resourceclaim. It has no data and runs nothing. Whoever knows claims of devices may import it.
package devices
