// Package podsecurity decides what the Pod Security Standards say of a pod: whether the policy that the labels of a namespace
// choose refuses it, and of what it is to be warned. The checks themselves are upstream's library,
// k8s.io/pod-security-admission/policy; this package has the policies, the exemptions, the configuration file and the words.
//
// It owns no data and runs no goroutine. Only hub/admit imports it.
package podsecurity
