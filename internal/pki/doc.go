// Package pki is the one certificate store: the cluster's authorities, the certificates that hub and components show, the
// key that signs service account tokens, kubeconfigs, and the small facts about them that a joining node needs.
//
// It owns the files under <data-dir>/pki (kubeadm's names and layout, everything 0600 or stricter) and the kubeconfigs it
// is told to write. All keys are ECDSA P-256: a whole store is made in a few milliseconds, where one RSA key alone takes a
// hundred. Keys of other kinds that it finds there (RSA from kubeadm) are used as they are.
//
// [Store.Run] is its only goroutine: it reissues certificates that come near their end, in place, so that listeners and
// clients that hold a [Pair] go on without a restart. Anything but the components' pure cores may import it; it imports
// nothing of ours.
package pki
