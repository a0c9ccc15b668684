// Package source knows the static pods of a node: those that a file, a folder of files or a URL describe rather than the hub. It
// reads them, follows what changes, and shows each in the hub by a mirror pod.
//
// Static (static.go) joins the parts: folder.go and url.go get manifests, manifest.go makes pods of them, which is pure; set.go
// holds the pods and whether all sources have been read; mirror.go keeps the mirrors. It owns the static pods and the mirrors that
// the hub has. It runs a goroutine for the folder, one for the URL, and one for each mirror that is being made or removed. The
// kubelet imports it.
package source
