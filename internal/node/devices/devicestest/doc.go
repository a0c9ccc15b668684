// Package devicestest is a device plugin for tests. It speaks gRPC over unix sockets as a stock one does: it registers with a kubelet, lists
// its devices, and answers what the kubelet asks; what it was asked a test can look at.
package devicestest
