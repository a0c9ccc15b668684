package cluster

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/pki"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// JoinToken is what a new node is given: which authority to believe, and a bootstrap token. Its text form is
// "sha256:HEX::ID.SECRET". The hash lets the node refuse a false server before it sends anything secret.
type JoinToken struct {
	Hash  string
	Token pki.BootstrapToken
}

func (t JoinToken) String() string { return t.Hash + "::" + t.Token.String() }

func ParseJoinToken(s string) (JoinToken, error) {
	hash, token, ok := strings.Cut(s, "::")
	if !ok || !strings.HasPrefix(hash, "sha256:") {
		return JoinToken{}, fmt.Errorf("a token looks like sha256:HASH::ID.SECRET; 'sampan token' on the server makes one")
	}
	t, err := pki.ParseBootstrapToken(token)
	return JoinToken{hash, t}, err
}

// CreateToken stores a bootstrap token that nodes may join with for ttl.
func CreateToken(ctx context.Context, door client.Writer, ttl time.Duration) (pki.BootstrapToken, error) {
	t := pki.NewBootstrapToken()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "bootstrap-token-" + t.ID},
		Type:       corev1.SecretTypeBootstrapToken,
		StringData: map[string]string{
			"token-id":                       t.ID,
			"token-secret":                   t.Secret,
			"expiration":                     time.Now().Add(ttl).UTC().Format(time.RFC3339),
			"usage-bootstrap-authentication": "true",
			"usage-bootstrap-signing":        "true",
			"auth-extra-groups":              "system:bootstrappers:kubeadm:default-node-token",
		},
	}
	_, err := client.Create(ctx, door, client.Secrets, secret)
	return t, err
}

// ServerAddress is where other machines reach the API server, which it publishes as the endpoint of the Service kubernetes. It is
// left open where that says nothing.
func ServerAddress(ctx context.Context, door client.Reader, local string) string {
	slice, err := client.Get[*discoveryv1.EndpointSlice](ctx, door, client.EndpointSlices, metav1.NamespaceDefault, "kubernetes")
	if err == nil && len(slice.Endpoints) > 0 && len(slice.Endpoints[0].Addresses) > 0 && len(slice.Ports) > 0 && slice.Ports[0].Port != nil {
		return net.JoinHostPort(slice.Endpoints[0].Addresses[0], strconv.Itoa(int(*slice.Ports[0].Port)))
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(local, "https://"))
	return net.JoinHostPort("ADDRESS", port)
}
