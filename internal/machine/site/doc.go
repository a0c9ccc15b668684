// Package site knows the clusters of this machine by name: which data directory a name means, which names there are, and on which port
// the API server of a cluster listens that was given a name and no port.
//
// A named cluster lives in a folder of its own below one place; for a cluster elsewhere a link of its name lies there, until it is
// purged. The package owns that place. cmd/sampan and the packages of internal/machine and internal/cluster import it.
package site
