// Package component holds what the components share that run under upstream's names (its folders: apiserver, controllers,
// scheduler, kubelet, proxy): the rows of flags that several of them have, how they log, how they reach the API server by a
// kubeconfig, and how one of them leads.
//
// A component is a Config whose zero values are useful, New, which fills in upstream's defaults, Flags, which binds upstream's
// command line to it, and Run, which blocks until its context ends. cmd/sampan makes a subcommand of each. The package owns no
// data and runs no goroutine. cmd/sampan and the components import it.
package component
