// Package checkpoint keeps a small file up to date that says who has been given what, in the form of the stock kubelet's checkpoints, so that
// either kubelet may take over from the other: a file is replaced as a whole, and its checksum is taken over what upstream's printer
// makes of the value (checksum.go).
//
// It owns no data and runs no goroutine. node/{cpus,memorymap,devices} import it.
package checkpoint
