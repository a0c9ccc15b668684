// Package room watches over the room on the disk of an embedded etcd: it says when values can no longer be written, and keeps a
// reserve for when others fill the disk. It knows nothing of what is stored. A Room may be used by many goroutines at once.
package room
