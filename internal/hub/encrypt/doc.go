// Package encrypt encrypts values at rest as an EncryptionConfiguration (apiserver.config.k8s.io/v1) says: which providers, with which
// keys, for which resources. What it writes is byte for byte what a stock kube-apiserver with the same file writes and reads.
//
// [Load] reads a file and makes the [Config]; its sealers go in front of the stores of kinds (`store/sealed`). A Config owns the
// connections to KMS plugins and, while [Config.Run] runs, the reading of a file that has changed. Package hub imports it, and
// component/apiserver, which has the flags.
package encrypt
