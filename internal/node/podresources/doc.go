// Package podresources tells monitoring agents and device plugins' exporters which CPUs, memory and devices containers have: the pod
// resources API, v1, on a unix socket below the kubelet's root directory.
//
// It owns nothing: what it tells it asks for. node/placement serves it.
package podresources
