// Pods kills a cluster's process and its container runtime again and again while pods run, start, end and are resized, and judges what that
// did to them:
//
//   - containers of pods that were there before are the same ones, never restarted, at the same addresses, and were Ready all the while;
//   - every resize that was asked for is done in the end, in the same containers;
//   - nothing is mounted twice, at any time;
//   - when all pods and claims are gone no mount, no pod's directory and no volume is left.
//
// Each pod has volumes of six kinds: emptyDir on disk and in memory, config map, secret, projected token, and a claim that the local provisioner serves. It
// knows nothing of sampan but its command line, its API through kubectl, and what the kernel tells of mounts:
//
//	go -C e2e/chaos run ./pods -bin ../../bin -pods 20 -kills 20
//
// It takes root, ends with status 1 and says what was violated.
package main
