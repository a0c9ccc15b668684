package encrypt

import (
	"crypto/rand"
	"encoding/base64"
)

// NewFile is an EncryptionConfiguration that encrypts Secrets under a new random key and reads those that were stored in plain before.
func NewFile() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return []byte(`# Keys that Secrets are encrypted with in etcd. Whoever loses this file loses them. kube-apiserver takes it as
# --encryption-provider-config; https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/ says how keys are changed.
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox: {keys: [{name: key1, secret: "` + base64.StdEncoding.EncodeToString(key) + `"}]}
  - identity: {}
`)
}
