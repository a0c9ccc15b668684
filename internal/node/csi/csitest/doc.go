// Package csitest is a CSI driver for tests of the node's side. It makes folders where a driver would mount, and refuses what breaks the
// interface's order: publishing what is not staged, unstaging what is published.
package csitest
