// Command csi is a CSI driver for the end-to-end tests: its volumes are directories of the machine, and block devices are loop devices over
// files. It passes the sanity suite of csi-test (driver_test.go), registers with a kubelet by itself, and works beside the stock
// external-provisioner, external-attacher, external-resizer and external-snapshotter, which this module builds as they are (go tool).
//
// It is a module of its own, so that nothing of it is in the product.
package main
