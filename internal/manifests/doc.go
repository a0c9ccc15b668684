// Package manifests applies the files of a folder to the cluster and keeps to them: what a file says is applied when the file
// appears or changes, what it no longer says is deleted.
//
// A file is YAML or JSON, of one object, of several documents or of Lists. Folders below the folder belong to it. The objects are
// written by server-side apply under the field manager [Manager], so that fields which somebody else owns stay theirs unless a file
// names them. What each file has applied, and what went wrong with it, stands in ConfigMap kube-system/sampan-manifests: there the
// next start, and `sampan status`, find it.
//
// The flow is one loop: [read] takes the folder as it is, [plan] compares it with the record, and the loop carries out the plan, writes
// the record and waits for the folder to change, or a while where something failed.
package manifests
