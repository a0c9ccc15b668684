// Package sound looks through the file of an embedded etcd's database before etcd opens it, so that a damaged one is an error
// with a file's name in it and not the end of the process. It only reads.
package sound
