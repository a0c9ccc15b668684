// Package pods answers the questions that several parts of the cluster ask of a pod: its containers by name and sort, its quality of
// service, its conditions, its addresses, whether it is static or a mirror.
//
// All are functions of values; a pod is only read. The package has no data and runs nothing. Whoever knows pods may import it.
package pods
