// Package match has what webhooks and policies of admission have in common: which writes they are about, the versions that they
// see an object in, conditions in CEL, what of a first round of mutators counts in a second, and where their configuration is
// kept.
//
// A [Source] holds what is made of the configuration. It runs no goroutine and has no cache of its own: whoever writes, or reads
// that somebody wrote, tells it, and the next write reads the configuration anew. Where nothing is configured a write costs one
// load of a pointer. A [Request] belongs to the goroutine that serves the write. The rooms of webhooks and policies import it.
package match
