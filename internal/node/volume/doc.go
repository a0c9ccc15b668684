// Package volume makes the volumes of pods present below the pods' directories, keeps what they show of objects up to date,
// and takes them away again.
//
// Each kind of volume is a plugin with a file of its own: emptydir.go, hostpath.go, configmap.go, secret.go, downward.go,
// projected.go, image.go, claim.go, nfs.go, driven.go (CSI); plugin.go has their list and says what a plugin is. Sub-paths of all of them are safe (subpath.go).
// What is shown of objects is written atomically (a ..data link that is swapped), as upstream writes it. Mount is
// idempotent: calling it again is how contents are refreshed. Mounts left by an earlier process are found in
// /proc/self/mountinfo, so nothing has to be remembered.
//
// What a claim has been given is a persistent volume of a kind of its own (local.go, nfs.go, driven.go; the list is in claim.go). Its fsGroup is
// upstream's (mounting.go).
//
// It owns the service account tokens that volumes show and what is known of the claims of pods, and runs no goroutines; calls for one pod must not overlap. node/podhost
// and node/object import it.
package volume
