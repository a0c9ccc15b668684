// Package volume makes the volumes of pods present below the pods' directories, keeps what they show of objects up to date,
// and takes them away again.
//
// Each kind of volume is a plugin with a file of its own: emptydir.go, hostpath.go, configmap.go, secret.go, downward.go,
// projected.go, image.go; plugin.go has their list and says what a plugin is. Sub-paths of all of them are safe (subpath.go).
// What is shown of objects is written atomically (a ..data link that is swapped), as upstream writes it. Mount is
// idempotent: calling it again is how contents are refreshed. Mounts left by an earlier process are found in
// /proc/self/mountinfo, so nothing has to be remembered.
//
// It owns the service account tokens that volumes show, and runs no goroutines; calls for one pod must not overlap. node/podhost
// and node/object import it.
package volume
