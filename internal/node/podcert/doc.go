// Package podcert gets certificates for pods: for each podCertificate source of a projected volume it makes a key and a
// PodCertificateRequest, waits for a signer's answer, and asks anew when the signer says that it is time.
//
// Keys live in memory and in the pods' volumes only, so a restarted kubelet asks for all of them again. It watches the node's requests while a
// pod shows a certificate and not otherwise, and runs no other goroutines. The kubelet imports it; node/volume calls it.
package podcert
