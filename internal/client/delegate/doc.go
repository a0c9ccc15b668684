// Package delegate lets a server that is not the hub ask the hub who somebody is and what they may do: client certificates of an
// authority are believed, tokens go to TokenReview, and leave comes from SubjectAccessReview. Answers are remembered for a short
// while.
//
// It owns the memory of those answers and runs no goroutine. The servers of nodes (node/serve) and of components
// (component/face) import it.
package delegate
