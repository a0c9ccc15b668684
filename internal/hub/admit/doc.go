// Package admit is admission: plugins that may change an object on its way in, and plugins that may refuse it.
//
// A plugin is a value with one file, joined with the others into one literal ordered list by New. Plugins read other objects
// on the hub's own door, from its cache as it stands and up to date only when that has not what they look for; they keep
// nothing of their own (NamespaceLifecycle remembers for half a minute which namespaces are being deleted) and run no
// goroutines. What asks others, webhooks and policies that administrators write, are rooms below this one, which the hub makes and
// hands to New; they and the hub alone import it.
package admit
