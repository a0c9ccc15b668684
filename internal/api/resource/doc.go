// Package resource holds the kinds of resource.k8s.io, dynamic resource allocation: devices that drivers publish, classes of them,
// and claims by which pods ask for some.
//
// What is valid follows two sets of upstream's rules, those that people wrote (pkg/apis/resource/validation) and those generated from
// the marks in k8s.io/api, which are called from there; valid.Declared puts them together. The parts of objects that belong to
// features which are off by default in v1.37 are dropped before anything is validated.
package resource
