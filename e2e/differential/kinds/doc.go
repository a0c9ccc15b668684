// Package kinds makes cases of built-in kinds: a full object of each (bases/), changed in one or a few places by chance, is created, replaced,
// patched, applied, given a status and deleted. Every field is left out, emptied, given a value of another type, out of its range or twice.
package kinds
