// Package admit is admission: plugins that may change an object on its way in, and plugins that may refuse it.
//
// A plugin is a value made by its New function and joined into one literal ordered list in the hub. Plugins read other
// objects through informers on the hub's own door. The hub alone imports it.
package admit
