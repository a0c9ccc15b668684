// Package expression compiles the CEL expressions of admission: match conditions of webhooks, and what policies are made of.
//
// It owns the environment that such expressions are compiled in, which is upstream's
// (k8s.io/apiserver/pkg/admission/plugin/cel), and makes it when the first expression is compiled: a cluster without any pays
// nothing for it. It runs no goroutines. Kinds that hold expressions and the hub's admission import it.
package expression
