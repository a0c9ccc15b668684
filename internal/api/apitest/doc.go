// Package apitest has kinds that exist only in tests: objects without a Go type, served in two versions.
package apitest
