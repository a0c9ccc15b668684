// Package envtest makes this program what test suites take for upstream's kube-apiserver and etcd: controller-runtime's envtest starts
// the programs of a folder, $KUBEBUILDER_ASSETS, by their names.
//
// It joins the API server to controllers in one process, when the environment asks for them. It owns no data. cmd/sampan imports it.
package envtest
