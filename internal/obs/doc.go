// Package obs makes the process's logger. Metrics are each component's own and are served beside it.
package obs
