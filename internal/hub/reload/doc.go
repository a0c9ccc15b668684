// Package reload tells when a file has another content, so that settings can be followed while the process runs.
//
// [Follow] runs in its caller's goroutine and owns one timer. Package hub imports it, and the rooms whose settings are files.
package reload
