// Package custom serves custom resources: it follows the custom resource definitions, decides which of their names are accepted,
// puts the kinds that they define into the catalog and takes them out again, and says in their status what it did. Before a
// definition goes it deletes the objects.
//
// Its goroutines are that of Run, which follows the definitions, and one for each definition that is being worked on. Of a definition
// that nobody uses it holds a few names: what the definition says of its objects (package schema) is made when one is read or
// written, from the definition as the hub's cache has it. The hub alone imports it.
package custom
