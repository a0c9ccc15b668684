// Package etcd is the store.Store over etcd: over a member that runs in this process (Embedded) or over a cluster
// elsewhere (External). Both share the operations and the watch, which speak to a clientv3.Client.
//
// The embedded member is wired by hand from etcdserver, without etcd's embed package: that one opens listeners we do not
// need, waits half a second for an election nobody contests, and pulls packages that double the binary. Its data
// directory is an ordinary one: a stock etcd can open it.
//
// A member that cannot go on, because the disk refused a write, ends alone (fate): the Store serves what has been read, refuses
// writes and opens another member when the disk is well. Before it comes to that, values are refused while there is little
// room on the disk (room) or in the database (tender).
//
// It owns the member's directory and, of the member, all goroutines; they end with Close. Only the hub imports it.
package etcd
