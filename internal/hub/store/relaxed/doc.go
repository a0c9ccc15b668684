// Package relaxed is a store.Store for keys that are written often and matter little: events, and the renewals of leases.
// It answers from an image in memory (store/memory) and writes behind to another store, under the same keys and with the
// same bytes, so that whoever reads that one (etcdctl, a backup) finds them there.
//
// Three promises hold, whatever happens to the process:
//
//   - A revision is never used twice. The image counts its own; a mark in the store behind it, always ahead of the count,
//     is where the next run goes on.
//   - What must last of a value (Prefix.Lasting: who holds a lease) is in the store behind before the write returns.
//   - Everything else is there within FlushEvery, or, when only what need not last has changed, within IdleFlush. A clean
//     stop loses nothing.
//
// After a start every key has a revision of the start, above all that were before, and history begins there: whoever
// watched the last run is told to list again, which is how it learns what a crash has undone.
//
// Nobody else may write below the prefixes: the image would not know. One goroutine writes behind; it ends with Close.
// Only the hub and internal/plane import it.
package relaxed
