// Command sampan is a whole Kubernetes in one program: one file per subcommand, over internal/cluster, which joins the parts.
//
//	sampan up      a cluster on this machine
//	sampan server  the control plane, and a node unless --no-node
//	sampan agent   a node of a cluster elsewhere
//	sampan down    stop what up made; purge also erases the data
//
// up and server are one code path: up adds the steps that a person wants to see.
package main
