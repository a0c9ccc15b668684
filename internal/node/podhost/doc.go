// Package podhost is the machine as pods use it beside the container runtime: it makes a pod's control group, its directories, its
// volumes and its log files, and takes them away again.
//
// Everything that it makes lies below the kubelet's root and log directories, in upstream's layout, and in the control groups, so
// that a restarted kubelet finds it there. It owns no other data, and runs the one goroutine that rotates logs. The kubelet
// imports it, and knows it by an interface of its own that hollow nodes satisfy without a machine.
package podhost
