// Package credential keeps the two certificates of a node, which the cluster's signers issue: the client certificate that is
// the kubelet's identity, and the serving certificate of its HTTPS server.
//
// It owns their files below the kubelet's root (pki/kubelet-client-current.pem, pki/kubelet-server-current.pem). It starts no
// goroutines: [Credential.Run] works on its caller's. What starts a node may import it.
package credential
