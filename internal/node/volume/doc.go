// Package volume makes the volumes of pods present below the pods' directories, keeps what they show of objects up to date,
// and takes them away again.
//
// It knows emptyDir, hostPath, configMap, secret, downwardAPI and projected volumes, and safe sub-paths of all of them.
// What is shown of objects is written atomically (a ..data link that is swapped), as upstream writes it. Mount is
// idempotent: calling it again is how contents are refreshed. Mounts left by an earlier process are found in
// /proc/self/mountinfo, so nothing has to be remembered.
//
// It runs no goroutines; calls for one pod must not overlap. The kubelet may import it.
package volume
