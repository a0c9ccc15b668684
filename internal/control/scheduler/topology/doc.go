// Package topology holds the scheduler's plugins that count pods near a node: InterPodAffinity and PodTopologySpread.
//
// What is near is said by node labels. A layout divides the nodes into domains by the value of a label, a group is pods that
// some term or constraint speaks of, a tally is how many pods of a group are in each domain of a layout; a census keeps all
// three up to date as nodes and pods come and go. The plugins answer by area (plugin.Areal): by what domains a node is in, and
// what is counted in domains of its own. The scheduler imports it.
package topology
