// Package plugin holds what decides where a pod may and should run: the steps of an attempt as interfaces (plugin.go,
// steps.go), one file per plugin, and the values they work on ([Pod], [Node], [Change]). Filters, scores and indexes are pure:
// they read and change nothing but what they are given and their own counts. The scheduler imports it, and internal/why,
// which says of each node what keeps a pod off it.
package plugin
