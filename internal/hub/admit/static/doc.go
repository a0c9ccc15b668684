// Package static has the webhooks and policies that a server reads from folders of its own, which nobody can take away through the
// API: the staticManifestsDir of the four plugins that ask others.
//
// [Open] reads a folder and refuses what is wrong in it; [Files.Follow] runs in its caller's goroutine, reads the folder again when
// something in it changes, and keeps the last good state. The hub alone imports the package.
package static
