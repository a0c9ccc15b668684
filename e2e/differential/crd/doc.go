// Package crd makes cases of custom resources: definitions with random schemas, good and broken, and objects that fit them or
// do not, created, replaced, patched and applied. Beside them stand cases that were written by hand, for what chance does not find.
package crd
