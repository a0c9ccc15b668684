// Package arch holds, as tests, the rules of the house that must not drift unseen: who may import whom, that every
// package says what it is for, and how large the binary may be. It has no code of its own.
package arch
