// Package sealed is a store in front of another one whose values are encrypted at rest. Callers see plain values; what lies below,
// with its checksums, caches and snapshots, sees only what a [Sealer] made of them. Keys and revisions are those of the store below.
//
// A Store starts nothing and owns nothing but one mark; package hub puts one in front of the store of each kind when there is an
// EncryptionConfiguration (`hub/encrypt`).
package sealed
