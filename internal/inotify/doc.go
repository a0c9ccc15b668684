// Package inotify tells that something in a folder has changed.
//
// A [Watch] owns one descriptor and no goroutine: whoever waits does so in Next. What follows files by what they contain, logs for
// example, has needs of its own and reads inotify itself.
package inotify
